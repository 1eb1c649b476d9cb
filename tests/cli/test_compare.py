"""`paramviz compare`: on runs that were really recorded, told as text, JSON and a page."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import paramviz
from paramviz.analysis.comparison import compare
from paramviz.cli import main
from paramviz.sampling import SampleBudgets

STEPS = 9


class Model(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.second = nn.Linear(width, 3)


class Wrapped(nn.Module):
    """As data parallelism wraps a model."""

    def __init__(self, module: Model) -> None:
        super().__init__()
        self.module = module
        self.__dict__.update(first=module.first, second=module.second)


def train(path, *, seed=1, lr=0.1, steps=STEPS, width=6, other_from=None, schedule=1, model=None, **more):
    """A small training in which only the arguments differ; from `other_from` on with other batches."""
    torch.manual_seed(seed)
    model = Model(width) if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    batches = torch.Generator().manual_seed(7)
    with paramviz.Recorder(path, model, optimizer, schedule=schedule, config={"lr": lr}, **more) as recorder:
        for iteration in range(steps):
            if other_from == iteration:
                batches.manual_seed(8)
            x = torch.randn(5, 8, generator=batches)
            loss = model.second(torch.relu(model.first(x))).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(iteration, loss=loss)
    return path


def run_compare(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)], prog_name="paramviz")


def as_json(*arguments):
    done = run_compare(*arguments, "--json")
    assert done.stderr == ""
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return {
        "one": train(folder / "one"),
        "again": train(folder / "again"),
        "later": train(folder / "later", other_from=5),
        "faster": train(folder / "faster", lr=0.3),
        "wider": train(folder / "wider", width=7),
        "shorter": train(folder / "shorter", steps=5),
        "sparse": train(folder / "sparse", schedule=2),
    }


def test_the_same_training_twice_differs_by_exactly_nothing(runs):
    done = run_compare(runs["one"], runs["again"])
    assert done.exit_code == 0
    assert (
        "The same: 9 snapshots of 4 pairs of tensors and every scalar are equal to the last bit."
        in done.stdout
    )
    assert "differ most" not in done.stdout
    status, told = as_json(runs["one"], runs["again"])
    assert (status, told["same"], told["settings"]) == (0, True, [])
    assert all(set(tensor["relative_difference"]) == {0.0} for tensor in told["tensors"])


def test_the_iteration_from_which_two_runs_differ_is_told(runs):
    status, told = as_json(runs["one"], runs["later"])
    assert status == 1
    assert {tensor["first_difference"] for tensor in told["tensors"]} == {5}
    assert told["settings"] == []
    loss = next(scalar for scalar in told["scalars"] if scalar["name"] == "loss")
    assert (loss["shared"], loss["differing"]) == (9, 4)
    done = run_compare(runs["one"], runs["later"])
    assert "They differ from iteration 5 on, in 4 of 4 tensors" in done.stdout


def test_differences_are_those_of_the_samples(runs):
    a, b = paramviz.open_run(runs["one"]), paramviz.open_run(runs["faster"])
    found = {tensor.pair.a.name: tensor for tensor in compare(a, b).tensors}
    for name, tensor in found.items():
        assert len(tensor.relative) == STEPS
        for place, iteration in enumerate(a.iterations.tolist()):
            x, y = (run[iteration].values(name).astype(np.float64) for run in (a, b))
            expected = math.sqrt(np.mean((x - y) ** 2)) / math.sqrt(np.mean(x**2))
            assert tensor.relative[place] == pytest.approx(expected, rel=1e-12)
        assert tensor.cosine == pytest.approx(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), rel=1e-12)
        assert tensor.rms[1] == b[8].statistics(name)["rms"]
    most = max(found.values(), key=lambda tensor: tensor.largest).pair.a.name
    assert f"most of all {most}" in run_compare(runs["one"], runs["faster"]).stdout


def test_settings_that_differ_are_told_key_by_key(runs):
    _, told = as_json(runs["one"], runs["faster"])
    differing = {setting["key"]: (setting["a"], setting["b"]) for setting in told["settings"]}
    assert differing["config.lr"] == (0.1, 0.3)
    assert differing["optimizers.0.groups.0.lr"] == (0.1, 0.3)
    assert "config.lr" in run_compare(runs["one"], runs["faster"]).stdout


def test_the_same_numbers_from_another_schedule_are_called_so(runs):
    done = run_compare(runs["one"], runs["sparse"])
    assert done.exit_code == 1, "snapshots are missing"
    _, told = as_json(runs["one"], runs["sparse"])
    assert told["iterations"]["a"] == told["iterations"]["b"] == [0, 2, 4, 6, 8]
    assert all(tensor["largest"] == 0 for tensor in told["tensors"])


def test_tensors_of_other_shapes_are_explained_and_the_others_compared(runs):
    status, told = as_json(runs["one"], runs["wider"])
    assert status == 1
    shapes = {tensor["name"]: (tensor["shape"], tensor["other_shape"]) for tensor in told["tensors"]}
    assert shapes["first.weight"] == ([6, 8], [7, 8])
    first = next(tensor for tensor in told["tensors"] if tensor["name"] == "first.weight")
    assert first["shared_samples"] == 0
    assert set(first["relative_difference"]) == {"NaN"}
    assert first["rms"]["b"] > 0
    last = next(tensor for tensor in told["tensors"] if tensor["name"] == "second.bias")
    assert last["shared_samples"] == 3
    assert "of other shapes" in run_compare(runs["one"], runs["wider"]).stdout


def test_a_wrapped_model_pairs_by_its_names(tmp_path, runs):
    torch.manual_seed(1)
    other = train(tmp_path / "wrapped", model=Wrapped(Model()))
    status, told = as_json(runs["one"], other)
    assert status == 1, "the model's class is another"
    assert [setting["key"] for setting in told["settings"]] == ["model"]
    assert told["same_training"]
    assert told["tensors"][0]["other_name"] == "first.weight"
    assert "The same numbers" in run_compare(runs["one"], other).stdout


def test_other_budgets_compare_what_both_recorded(tmp_path):
    torch.manual_seed(3)
    one = train(tmp_path / "all", width=64)
    few = train(
        tmp_path / "few",
        width=64,
        budgets=SampleBudgets(outer=64),
    )
    comparison = compare(paramviz.open_run(one), paramviz.open_run(few))
    first = next(tensor for tensor in comparison.tensors if tensor.pair.a.name == "first.weight")
    assert 0 < first.shared < first.pair.a.samples
    assert first.largest == 0


@pytest.mark.parametrize("alignment", ["fraction", "loss"])
def test_runs_of_other_lengths_align_by_fraction_or_loss(runs, alignment):
    _, told = as_json(runs["one"], runs["shorter"], "--align", alignment)
    beside = dict(zip(told["iterations"]["a"], told["iterations"]["b"], strict=True))
    if alignment == "fraction":
        assert beside == {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3, 8: 4}
    else:
        loss = paramviz.open_run(runs["one"]).scalars("loss")
        lowest = np.minimum.accumulate(loss)
        for at_a, at_b in beside.items():
            assert lowest[at_b] <= lowest[at_a]
            assert at_b == 0 or lowest[at_b - 1] > lowest[at_a]


def test_a_run_without_loss_cannot_be_aligned_by_it(tmp_path, runs):
    model = Model()
    with paramviz.Recorder(tmp_path / "mute", model, schedule=1) as recorder:
        recorder.step(0)
    done = run_compare(runs["one"], tmp_path / "mute", "--align", "loss")
    assert done.exit_code == 2
    assert "has no loss to align by. Align by iteration or by fraction." in done.stderr


def test_runs_that_share_no_iteration_are_not_called_the_same(tmp_path, runs):
    later = tmp_path / "later"
    with paramviz.Recorder(later, Model(), schedule=1) as recorder:
        recorder.step(100)
    done = run_compare(runs["one"], later)
    assert done.exit_code == 1
    assert "No snapshot of A stands beside one of B" in done.stdout


def test_the_page_stands_alone_and_escapes_what_a_run_says(tmp_path, runs):
    nasty = '<script>alert(1)</script>"&'
    hostile = train(tmp_path / "hostile", name=nasty, lr=0.2)
    page = tmp_path / "page.html"
    assert run_compare(runs["one"], hostile, "--html", page).exit_code == 1
    text = page.read_text(encoding="utf-8")
    assert nasty not in text
    assert html.escape(nasty, quote=False).replace('"', "&#34;") in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert text.count("<polyline") == 2, "the loss of each"
    assert "first.weight" in text
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".page")] == []


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, runs):
    done = run_compare(runs["one"], runs["again"], "--html", tmp_path / "nowhere" / "page.html")
    assert done.exit_code == 3
    assert "the page could not be written" in done.stderr


def test_a_damaged_snapshot_is_named(tmp_path):
    path = train(tmp_path / "damaged")
    victim = next(p for p in sorted(path.rglob("*")) if p.name.startswith("c") and "vectors" in p.parts)
    victim.write_bytes(victim.read_bytes()[:-1])
    done = run_compare(path, path)
    assert done.exit_code == 1
    assert "paramviz: error:" in done.stderr
