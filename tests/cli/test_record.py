"""`paramviz record`: an unmodified script, run as Python would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import paramviz
from tests.integrations import nanogpt_patch

SCRIPT = nanogpt_patch.SCRIPT


def python(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(nanogpt_patch.ROOT), **environment},
    )


def record(*arguments, cwd, **environment):
    return python("-m", "paramviz", "record", *arguments, cwd=cwd, **environment)


def test_a_script_in_nanogpts_style_is_recorded_without_touching_a_line(tmp_path):
    """And it is the same training: output, weights and random state."""
    plain = python(SCRIPT, "--out_dir=plain", cwd=tmp_path)
    done = record("--out", "run", "--schedule", "3", SCRIPT, "--out_dir=recorded", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    assert done.stderr.splitlines() == [
        "paramviz: recording GPT (7,200 parameters, AdamW) to run",
        "paramviz: 4 snapshots in run",
    ]
    ours, theirs = (torch.load(tmp_path / name / "final.pt") for name in ("recorded", "plain"))
    assert torch.equal(ours["random"], theirs["random"])
    assert all(torch.equal(ours["model"][name], theirs["model"][name]) for name in theirs["model"])

    run = paramviz.open_run(tmp_path / "run")
    assert (run.status, run.description["config"]) == ("finished", {"out_dir": "recorded"})
    assert run.description["command"] == ["nanogpt_train.py", "--out_dir=recorded"]
    assert run.iterations.tolist() == [0, 3, 6, 9]
    assert {run[i].gradient_states.default for i in (0, 3, 6, 9)} == {"used"}
    printed = [line.split("lr ")[1] for line in plain.stdout.splitlines()]
    iterations, rates = run.scalar_series("learning_rate")
    assert iterations.tolist() == list(range(10))
    assert [f"{rate:.6f}" for rate in rates] == printed
    assert np.isfinite(run.scalar_series("loss")[1]).all()
    weight = theirs["model"]["transformer.wte.weight"].half().reshape(-1)
    positions = run.positions("transformer.wte.weight").copy()
    np.testing.assert_array_equal(run[9].values("transformer.wte.weight"), weight[positions])


def test_the_three_lines_of_the_documentation_record_the_same(tmp_path):
    """The patch of docs/INTEGRATIONS.md, applied to the script."""
    patched = tmp_path / "train.py"
    patched.write_text(nanogpt_patch.patched_script())
    done = python(patched, "--out_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record("--out", "run", SCRIPT, "--out_dir=recorded", cwd=tmp_path)
    by_hand, found = paramviz.open_run(tmp_path / "out" / "run"), paramviz.open_run(tmp_path / "run")
    assert by_hand.iterations.tolist() == found.iterations.tolist()
    assert by_hand.description["config"]["n_embd"] == 16
    assert len(nanogpt_patch.added_lines()) == 3
    for tensor in found.tensors:
        np.testing.assert_array_equal(by_hand[9].values(tensor.name), found[9].values(tensor.name))


def test_a_run_is_resumed_with_the_next_iteration(tmp_path):
    for _ in range(2):
        done = record("--out", "run", "--resume", SCRIPT, "--max_iters=2", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1, 2, 3, 4, 5]


def test_tensors_are_chosen_by_patterns(tmp_path):
    options = ["--include", "transformer.h.*", "--exclude", "*.bias", "--name", "a small one"]
    record("--out", "run", *options, SCRIPT, "--max_iters=1", cwd=tmp_path)
    run = paramviz.open_run(tmp_path / "run")
    assert run.name == "a small one"
    recorded = {tensor.name for tensor in run.tensors if tensor.samples}
    assert "transformer.h.1.mlp.c_fc.weight" in recorded
    assert not [name for name in recorded if name.endswith("bias") or "wte" in name]


def test_without_a_place_the_run_goes_under_runs(tmp_path):
    done = record(SCRIPT, "--max_iters=1", cwd=tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("nanogpt_train-")
    assert str(run.relative_to(tmp_path)) in done.stderr


def test_a_run_in_the_way_is_told_before_the_script_is_begun(tmp_path):
    record("--out", "run", SCRIPT, "--max_iters=1", cwd=tmp_path)
    done = record("--out", "run", SCRIPT, "--max_iters=1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("paramviz: error: run")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--schedule", "often", SCRIPT], "neither 'adaptive' nor a number"),
        (["--schedule", "0", SCRIPT], "neither 'adaptive' nor a number"),
        (["nowhere.py"], "nowhere.py: there is no such script"),
        (["."], "there is no such script"),
        ([], "SCRIPT.py|MODULE"),
    ],
)
def test_wrong_use_is_told(arguments, says, tmp_path):
    done = record(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr


# As Python runs it ----------------------------------------------------------------------------------

FACTS = """
import sys
print(sys.argv, __name__, __file__, sys.path[0], __spec__, __package__, type(__loader__).__name__)
print(sys.modules["__main__"].__dict__ is globals(), sorted(globals()))
def fail():
    raise ValueError("a defect")
"""

ENDINGS = {
    "nothing": "",
    "a status": "sys.exit(7)",
    "a text": "sys.exit('bye')",
    "an exit without status": "sys.exit()",
    "an exception": "fail()",
    "an exception with a cause": "try:\n    1 / 0\nexcept ArithmeticError as e:\n    raise OSError(5) from e",
    "a broken pipe": "raise BrokenPipeError(32, 'broken')",
    "an end of file": "raise EOFError('no more')",
    "an interruption": "raise KeyboardInterrupt",
    "an error of ours": "from paramviz.errors import UsageError\nraise UsageError('theirs')",
    "a hook": "sys.excepthook = lambda kind, error, trace: print('hooked', kind, trace.tb_lineno)\nfail()",
    "a syntax error": "x = (",
    "an exit at exit": "import atexit\natexit.register(print, 'over')\nfail()",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_status_output_and_traceback_are_the_scripts_own(ending, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "script.py").write_text(FACTS + ENDINGS[ending])
    arguments = ("folder/script.py", "-m", "--out", "x", "--", "y z")
    plain = python(*arguments, cwd=tmp_path)
    done = record("--out", "run", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    ours = [line for line in done.stderr.splitlines() if line.startswith("paramviz: ")]
    assert done.stderr.replace(ours[0] + "\n", "", 1) == plain.stderr
    assert len(ours) == 1
    assert "the script did not import torch" in ours[0]
    assert not (tmp_path / "run").exists()


def test_a_link_to_a_script_is_run_where_the_script_lies(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "script.py").write_text(FACTS + "import beside\nprint(beside.x)")
    (tmp_path / "real" / "beside.py").write_text("x = 5")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "script.py")
    plain = python("link.py", cwd=tmp_path)
    assert record("link.py", cwd=tmp_path).stdout == plain.stdout
    assert plain.stdout.endswith("5\n")


@pytest.mark.parametrize("module", ["package", "package.part", "package.missing", "missing", "broken"])
def test_a_module_is_run_as_python_runs_it(module, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    facts = FACTS.replace("__spec__,", "__spec__.name,")
    for name in ("__init__.py", "__main__.py", "part.py"):
        (package / name).write_text("" if name == "__init__.py" else facts + "sys.exit(5)")
    (tmp_path / "broken.py").write_text("import missing_too")
    plain = python("-m", module, "--lr", "3", "-m", cwd=tmp_path)
    done = record("-m", module, "--lr", "3", "-m", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    last = [line for line in plain.stderr.splitlines() if line][-1:]
    assert last == [line for line in done.stderr.splitlines() if not line.startswith("paramviz: ")][-1:]


def test_torch_is_imported_when_the_script_does_it_and_not_before(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys\nassert 'torch' not in sys.modules and 'numpy' not in sys.argv\n"
        "import torch\nprint(torch.__spec__.loader.exec_module.__qualname__)\n"
    )
    plain, done = python("script.py", cwd=tmp_path), record("script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    assert "looked for a step" in done.stderr


INTERRUPTED = """
import torch
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for i in range(10_000_000):
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    if i == 3:
        print("under way", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_script_by_its_signal_and_the_run_as_crashed(tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, "-m", "paramviz", "record", "--out", "run", "script.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(nanogpt_patch.ROOT)},
    )
    assert process.stdout.readline() == "under way\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert told.endswith("KeyboardInterrupt\n")
    run = paramviz.open_run(tmp_path / "run")
    assert (run.status, run.events[-1].kind) == ("crashed", "crash")


# Several processes ----------------------------------------------------------------------------------


def test_a_process_that_is_not_the_first_runs_plain(tmp_path):
    done = record("--out", "run", SCRIPT, "--max_iters=1", cwd=tmp_path, RANK="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "run").exists()


PARALLEL = """
import os, sys
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for i in range(3):
    optimizer.zero_grad()
    model(torch.full((3,), 1.0 + dist.get_rank())).sum().backward()
    optimizer.step()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_under_torchrun_the_first_process_records(tmp_path):
    (tmp_path / "script.py").write_text(PARALLEL)
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    done = python(
        *launcher, "-m", "paramviz", "record", "--out", "run", "--schedule", "1", "script.py", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    run = paramviz.open_run(tmp_path / "run")
    assert run.description["model"] == "Linear"
    assert run.iterations.tolist() == [0, 1, 2]
    assert run[0].gradient_states.default == "used"
    assert run[0].gradient_statistics("weight")["mean"] == pytest.approx(1.5)
