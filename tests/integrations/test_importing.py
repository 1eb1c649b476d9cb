"""A series of checkpoints becomes a run like any other, as if the training had been recorded."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import paramviz
from paramviz.errors import NotARunError, UsageError
from paramviz.integrations.checkpoints.importing import import_checkpoints
from paramviz.integrations.checkpoints.series import find_checkpoints, iteration_in
from tests.recorder.models import gpt, train_step

pytestmark = pytest.mark.filterwarnings("ignore:::(?!paramviz)")


def trained(steps):
    """Yields (iteration, model) of a small GPT after each step."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for iteration in range(steps):
        train_step(model, optimizer, iteration)
        yield iteration, model, optimizer


def save_safetensors(model, path):
    """As Hugging Face saves: of tied tensors one."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(state, path)


def same_as_recorded(run, model, path):
    """The last snapshot holds the samples that a recorder would have taken: the axes of fused and
    transposed weights, and their heads, are known."""
    with paramviz.Recorder(path, model) as recorder:
        recorder.step(0)
    recorded = paramviz.open_run(path)
    last = run[int(run.iterations[-1])]
    for tensor in run.tensors:
        if tensor.tied_to is None:
            np.testing.assert_array_equal(run.positions(tensor.name), recorded.positions(tensor.name))
            np.testing.assert_array_equal(last.values(tensor.name), recorded[0].values(tensor.name))


OF_AN_OPTIMIZER = ("moment1_norm", "moment2_rms", "epsilon_share")
"""Statistics that a checkpoint of the model cannot tell."""

SAVERS = {
    ".safetensors": save_safetensors,
    ".pt": lambda model, path: torch.save({"model": model.state_dict(), "args": {"lr": 0.1}}, path),
    ".ckpt": lambda model, path: torch.save({"state_dict": model.state_dict(), "epoch": 3}, path),
    ".bin": lambda model, path: torch.save(model.state_dict(), path),
}


@pytest.mark.parametrize("suffix", SAVERS)
def test_an_imported_series_has_the_numbers_of_the_recorded_training(suffix, tmp_path):
    """Samples, statistics, histograms, update statistics, roles and embeddings, snapshot for snapshot."""
    (tmp_path / "series").mkdir()
    recorder = None
    for iteration, model, optimizer in trained(4):
        recorder = recorder or paramviz.Recorder(tmp_path / "recorded", model, optimizer, schedule=1)
        recorder.step(iteration, event="checkpoint")
        SAVERS[suffix](model, tmp_path / "series" / f"step-{iteration}{suffix}")
    recorder.close()

    done = []
    report = import_checkpoints(
        tmp_path / "series", tmp_path / "imported", progress=lambda n, total: done.append((n, total))
    )
    assert (report.snapshots, done) == (4, [(1, 4), (2, 4), (3, 4), (4, 4)])
    recorded, imported = paramviz.open_run(tmp_path / "recorded"), paramviz.open_run(tmp_path / "imported")
    assert imported.status == "finished"
    assert imported.iterations.tolist() == recorded.iterations.tolist()
    catalogue = {tensor.name: tensor for tensor in recorded.tensors}
    for theirs in imported.tensors:
        ours = catalogue[theirs.name]
        assert (theirs.role, theirs.layer, theirs.samples) == (ours.role, ours.layer, ours.samples)
        assert theirs.tied_to == ours.tied_to
        for i in (0, 3):
            one, other = recorded[i], imported[i]
            np.testing.assert_array_equal(one.values(ours.name), other.values(ours.name))
            statistics = {**one.statistics(ours.name), **dict.fromkeys(OF_AN_OPTIMIZER, np.nan)}
            assert other.statistics(ours.name) == pytest.approx(statistics, nan_ok=True)
            np.testing.assert_array_equal(one.histogram(ours.name)[0], other.histogram(ours.name)[0])
    np.testing.assert_array_equal(recorded[3].array("embedding_rows"), imported[3].array("embedding_rows"))


def test_a_tied_tensor_of_one_storage_stays_tied(tmp_path):
    model = gpt()
    torch.save(model.state_dict(), tmp_path / "ckpt_5.pt")
    import_checkpoints(tmp_path / "ckpt_5.pt", tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [5]
    tied = {tensor.name: tensor.tied_to for tensor in run.tensors if tensor.tied_to}
    assert tied == {"lm_head.weight": "transformer.wte.weight"}


def test_gradients_are_unavailable_and_it_is_said_why(tmp_path):
    torch.save(gpt().state_dict(), tmp_path / "ckpt_5.pt")
    import_checkpoints(tmp_path / "ckpt_5.pt", tmp_path / "run")
    states = paramviz.open_run(tmp_path / "run")[5].gradient_states
    assert (states.default, states.exceptions) == ("unavailable", {})
    assert states.reason


def test_hugging_face_folders_are_read_with_their_shards_their_heads_and_their_log(tmp_path):
    config = GPT2Config(vocab_size=29, n_positions=16, n_embd=64, n_layer=2, n_head=4)
    for step in (20, 100):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        model = GPT2LMHeadModel(config)
        model.save_pretrained(folder, max_shard_size="100KB")
        torch.save({"anything": object}, folder / "optimizer.pt")
        history = [{"step": s, "loss": 1.0 / s, "epoch": 0.1} for s in range(10, step + 1, 10)]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert len(list(folder.glob("*.safetensors"))) > 1
    model.save_pretrained(tmp_path / "out")

    import_checkpoints(tmp_path / "out", tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [20, 100]
    assert run.scalar_series("loss")[0].tolist() == list(range(10, 101, 10))
    assert run.scalars("loss").tolist() == [1 / 20, 1 / 100]
    assert run.description["model"] == "GPT2LMHeadModel"
    same_as_recorded(run, model, tmp_path / "recorded")


def test_half_precision_is_read_as_it_is(tmp_path):
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    save_file({"layer.weight": weight.bfloat16()}, tmp_path / "step_1.safetensors")
    import_checkpoints(tmp_path / "step_1.safetensors", tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensors[0].dtype == "bfloat16"
    expected = weight.bfloat16().double()
    assert run[1].statistics("layer.weight")["l2_norm"] == pytest.approx(expected.norm().item(), rel=1e-6)


def test_the_tensors_may_change_from_one_checkpoint_to_the_next(tmp_path):
    """A tensor that comes, one that grows, and one that goes."""
    first, second = nn.Linear(4, 3), nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2))
    torch.save({f"0.{name}": tensor for name, tensor in first.state_dict().items()}, tmp_path / "step_1.pt")
    torch.save(second.state_dict(), tmp_path / "step_2.pt")
    import_checkpoints(tmp_path, tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run[1].values("0.weight").shape == (12,)
    assert run[2].values("0.weight").shape == (18,)
    assert run[2].values("1.bias").tolist() == second[1].bias.tolist()


def test_names_of_methods_and_a_name_within_a_name_are_names_like_others(tmp_path):
    state = {name: torch.ones(3) for name in ("train", "forward.weight", "a.b", "a.b.c", "_modules.x", "T")}
    torch.save(state, tmp_path / "step_1.pt")
    import_checkpoints(tmp_path, tmp_path / "run")
    assert {tensor.name for tensor in paramviz.open_run(tmp_path / "run").tensors} == set(state)


MEMORY = """
import re, sys
from pathlib import Path
from paramviz.integrations.checkpoints.importing import import_checkpoints
import paramviz.statistics
paramviz.statistics.warm_up()
def held_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, most = held_mb(), 0
def progress(done, total):
    global most
    most = max(most, held_mb())
import_checkpoints(Path(sys.argv[1]), sys.argv[2], progress=progress)
print(most - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_checkpoint_is_never_in_memory_as_a_whole(suffix, tmp_path, project_root):
    """96 MB in tensors of 4: what the import holds of its own is less than a quarter of that."""
    state = {f"h.{i}.weight": torch.full((1024, 1024), float(i)) for i in range(24)}
    for step in (1, 2):
        path = tmp_path / "series" / f"step_{step}{suffix}"
        path.parent.mkdir(exist_ok=True)
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "series", tmp_path / "run"],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 24


# Names and folders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "iteration"),
    [
        ("checkpoint-100", 100),
        ("step_000250", 250),
        ("epoch=3-step=500", 500),
        ("global_step1000", 1000),
        ("iter-7", 7),
        ("ckpt_12", 12),
        ("model.000300", 300),
        ("ckpt", None),
        ("gpt2", None),
        ("final", None),
    ],
)
def test_an_iteration_is_told_by_the_name(name, iteration):
    assert iteration_in(name) == iteration


def test_nanogpts_file_tells_its_iteration_and_its_heads(tmp_path):
    model = gpt(n_embd=64)
    torch.save(
        {
            "model": {f"_orig_mod.{name}": tensor for name, tensor in model.state_dict().items()},
            "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
            "model_args": {"n_head": 2, "n_layer": 2},
            "iter_num": 1500,
            "best_val_loss": torch.tensor(2.5),
            "config": {"learning_rate": 1e-3},
        },
        tmp_path / "ckpt.pt",
    )
    import_checkpoints(tmp_path, tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [1500]
    same_as_recorded(run, model, tmp_path / "recorded")


def test_two_checkpoints_of_one_iteration_are_told_by_their_names(tmp_path):
    for name in ("step_5.pt", "ckpt_5.pt"):
        torch.save(gpt().state_dict(), tmp_path / name)
    with pytest.raises(UsageError, match=r"step_5\.pt.*iteration 5|ckpt_5\.pt.*iteration 5"):
        import_checkpoints(tmp_path, tmp_path / "run")


def test_checkpoints_without_numbers_are_no_series(tmp_path):
    for name in ("best.pt", "last.pt"):
        torch.save(gpt().state_dict(), tmp_path / name)
    with pytest.raises(UsageError, match="which iteration"):
        import_checkpoints(tmp_path, tmp_path / "run")


def test_a_missing_shard_is_missed(tmp_path):
    for part in (1, 3):
        save_file({f"w{part}": torch.ones(2)}, tmp_path / f"model-0000{part}-of-00003.safetensors")
    with pytest.raises(UsageError, match="2 of its 3 parts"):
        find_checkpoints(tmp_path)


def test_a_folder_without_checkpoints_says_what_was_looked_for(tmp_path):
    (tmp_path / "training_args.bin").write_bytes(b"x")
    with pytest.raises(NotARunError, match=r"\.safetensors"):
        import_checkpoints(tmp_path, tmp_path / "run")


def test_a_run_in_the_way_stays_as_it_is(tmp_path):
    torch.save(gpt().state_dict(), tmp_path / "step_0.pt")
    import_checkpoints(tmp_path / "step_0.pt", tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(paramviz.RunExistsError):
        import_checkpoints(tmp_path / "step_0.pt", tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == before
