"""`paramviz info`: every number of it, and nothing that a stranger's run could do to a terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from paramviz.cli import main
from paramviz.cli.summary import strides, summarise
from paramviz.cli.wording import bytes_text, counted, duration_text, number_text
from paramviz.schema import Event
from paramviz.store import RunWriter, open_run
from tests.store import made_runs


def info(*arguments):
    return CliRunner().invoke(main, ["info", *map(str, arguments)], prog_name="paramviz")


@pytest.fixture
def run_path(tmp_path):
    """Dense, then every tenth, then an odd one; a gap; crashed."""
    writer = made_runs.start(tmp_path / "made")
    for iteration in [*range(5), *range(10, 50, 10), 47]:
        made_runs.write(writer, iteration)
    writer.log_event(Event(48, "gap", "the disk was too slow"))
    writer.log_step(48, {"loss": 0.5}, 0.0)
    writer.close("crashed")
    return tmp_path / "made"


def test_a_person_is_told_what_there_is(run_path):
    done = info(run_path)
    assert done.exit_code == 0
    for told in (
        "made",
        "crashed",
        "20,523 parameters",
        "5, 3 recorded in 20,370 samples, 1 tied",
        "odd: complex numbers",
        "10, iterations 0 to 47, 11 steps",
        "every 1 from 0 to 4",
        "every 10 from 10 to 40",
        "48: the disk was too slow",
        "1 × gap",
        "token_embedding",
        "lr=0.1",
        "embedding_rows",
    ):
        assert told in done.stdout, told
    assert done.stderr == ""


def test_a_program_is_told_the_same_as_json(run_path):
    def refuse(name):
        raise AssertionError(f"bare {name}")

    told = json.loads(info(run_path, "--json").stdout, parse_constant=refuse)
    run = open_run(run_path)
    assert (told["name"], told["run_id"], told["status"]) == ("made", run.run_id, "crashed")
    assert told["iterations"]["snapshots"] == 10
    assert told["scalars"]["loss"] == {"steps": 11, "iteration": 48, "value": 0.5}
    assert told["scalars"]["strange"]["value"] == "NaN"
    assert told["roles"]["mlp_up"] == {"tensors": 1, "elements": 20_000, "samples": 20_000}
    assert told["tensors"]["tied"] == {"head.weight": "wte.weight"}
    assert told["gaps"] == [{"iteration": 48, "text": "the disk was too slow"}]
    assert told["recorded"]["values"] == 10


def test_raw_bytes_are_those_of_the_arrays_and_stored_those_of_the_files(run_path):
    told = summarise(open_run(run_path)).content["bytes"]
    raw = sum(getattr(made_runs.snapshot(0), key).nbytes for key in made_runs.ARRAYS)
    files = [
        file
        for file in (run_path / "iterations").rglob("*")
        if file.is_file() and len(file.relative_to(run_path).parts) == 4
    ]
    assert told["raw"] == 10 * raw
    assert told["stored"] == sum(file.stat().st_size for file in files)


def test_what_a_run_reveals_is_set_apart(tmp_path):
    description = {
        "model": "GPT",
        "parameters": 7,
        "host": "lab-3",
        "command": "python train.py",
        "commit": "ab12",
    }
    RunWriter.create(tmp_path / "run", description=description).close("finished")
    text = info(tmp_path / "run").stdout
    before, _, revealed = text.partition("This run reveals")
    assert "GPT, 7 parameters" in before
    for secret in ("lab-3", "python train.py", "ab12"):
        assert secret in revealed
        assert secret not in before


def test_a_run_that_has_hardly_begun_is_described(tmp_path):
    writer = RunWriter.create(tmp_path / "young", description={})
    done = info(tmp_path / "young")
    assert done.exit_code == 0
    assert "none yet, 0 steps" in done.stdout
    assert "recording" in done.stdout
    writer.close("finished")


def test_a_strangers_text_cannot_drive_the_terminal(tmp_path):
    """Escape sequences, and what rich would take for markup, are shown as text."""
    description = {"model": "\x1b]0;title\x07[red]x[/red]", "host": "\x1b[2J[bold", "parameters": 1}
    writer = RunWriter.create(tmp_path / "run", name="\x1b[31mname[/]", description=description)
    writer.log_step(0, {"\x1b[5m[u]loss": 1.0}, 0.0)
    writer.close("finished")
    done = info(tmp_path / "run")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "[red]x[/red]" in done.stdout


def test_a_damaged_snapshot_is_named_after_the_rest_was_told(run_path):
    record = run_path / "iterations" / "00000020" / "zarr.json"
    record.write_text("{}")
    done = info(run_path)
    assert done.exit_code == 1
    assert "crashed" in done.stdout
    assert done.stderr.startswith("paramviz: error: ")
    assert "iterations/00000020/zarr.json" in done.stderr


def test_of_very_many_scalars_the_first_are_listed(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    writer.log_step(0, {f"scalar {n}": float(n) for n in range(150)}, 0.0)
    writer.close("finished")
    told = info(tmp_path / "run").stdout
    assert "scalar 99" in told
    assert "scalar 100" not in told
    assert "and 50 more" in told


def test_no_run_is_one_line(tmp_path):
    done = info(tmp_path / "nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("paramviz: error: ")
    assert done.stderr.count("\n") == 1


@given(st.sets(st.integers(0, 10**6), max_size=60).map(sorted))
def test_stretches_rebuild_the_iterations(iterations):
    """Each stretch starts where the one before ends, and together they name every iteration."""
    found = strides(np.array(iterations, np.int64))
    rebuilt = sorted({i for s in found for i in range(s["first"], s["last"] + 1, s["every"])})
    assert rebuilt == (iterations if len(iterations) > 1 else [])
    assert [s["last"] for s in found[:-1]] == [s["first"] for s in found[1:]]


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (450_400, "450 kB"),
        (1_234_567, "1.23 MB"),
        (999_600, "1 MB"),
        (5.25e9, "5.25 GB"),
        (7e12, "7 TB"),
        (4.2e15, "4,200 TB"),
    ],
)
def test_bytes_are_written_with_three_digits(n, text):
    assert bytes_text(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (59.7, "1 min"), (3725, "1 h 2 min"), (90061, "1 d 1 h"), (3605, "1 h 5 s")],
)
def test_durations_have_two_units(seconds, text):
    assert duration_text(seconds) == text


def test_other_numbers_are_short():
    assert [counted(1, "file"), counted(12_000, "file")] == ["1 file", "12,000 files"]
    assert [number_text(x) for x in (2.0, 0.123456789, float("nan"), float("-inf"))] == [
        "2",
        "0.12346",
        "nan",
        "-inf",
    ]


def test_what_a_recorder_says_of_the_training_is_told_apart_from_what_reveals_its_user(tmp_path):
    torch = pytest.importorskip("torch")
    from paramviz import Recorder

    model = torch.nn.Linear(3, 2)
    with Recorder(tmp_path / "run", model, torch.optim.SGD(model.parameters(), lr=0.1)) as recorder:
        recorder.step(0)
    content = json.loads(info(tmp_path / "run", "--json").stdout)
    assert {"model", "parameters", "optimizers", "versions"} <= content["description"].keys()
    assert {"host", "command"} <= content["reveals"].keys()
