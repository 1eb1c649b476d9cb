"""What a crash, a kill or damaged bytes may do to a run, and what they may not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from paramviz.errors import DamagedRunError, FormatVersionError, NotARunError
from paramviz.schema import Event
from paramviz.store import RunWriter, layout, open_run, verify_run
from tests.store import made_runs
from tests.store.small_blocks import small_blocks

pytestmark = pytest.mark.slow

WRITER = """
import sys
from paramviz.store import RunWriter
from tests.store import made_runs
from tests.store.small_blocks import small_blocks
path, first = sys.argv[1], int(sys.argv[2])
writer = made_runs.start(path) if first == 0 else RunWriter.resume(path)
for iteration in range(first, first + 10_000):
    made_runs.write(writer, iteration)
    print(iteration, flush=True)
"""


def test_a_killed_writer_loses_at_most_the_iteration_in_flight(tmp_path, torture, project_root):
    """Kill -9 at random moments; what the writer had said was committed reads bit for bit."""
    rng = random.Random(3)
    for kill in range(500 if torture else 6):
        path, first = tmp_path / f"run{kill // 3}", 0
        if path.exists():
            first = int(open_run(path).iterations[-1]) + 1
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=project_root,
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline())]
        wanted = rng.randrange(1, 12)
        while len(said) < wanted:
            said.append(int(process.stdout.readline()))
        # Not only between two lines: somewhere within the next commit.
        signal_after_s = rng.random() * 0.006
        try:
            process.wait(signal_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        said += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        run = open_run(path)
        assert run.status == "crashed"
        assert set(said) <= set(run.iterations.tolist())
        assert len(run.iterations) - (said[-1] + 1) in (0, 1)
        for iteration in run.iterations[-20:].tolist():
            made_runs.assert_same_snapshot(run[iteration], iteration)
        assert verify_run(path).problems == ()


def test_an_uncommitted_iteration_stays_hidden(tmp_path):
    """Everything of it may be on the disk: without its record it is not there."""
    path = made_runs.make_run(tmp_path / "run")
    (path / layout.iteration_key(2) / "zarr.json").rename(tmp_path / "record")
    _forget_commit(path, 2)
    run = open_run(path)
    assert run.iterations.tolist() == [0, 1]
    report = verify_run(path)
    assert report.problems == ()
    assert any("00000002: was never committed" in note for note in report.notes)
    writer = RunWriter.resume(path)
    made_runs.write(writer, 2)
    writer.close("finished")
    made_runs.assert_same_snapshot(open_run(path)[2], 2)


def test_a_snapshot_that_never_reached_the_journal_is_found(tmp_path):
    """A kill between the record and the journal entry: the record is the truth."""
    path = made_runs.make_run(tmp_path / "run")
    _forget_commit(path, 2)
    run = open_run(path)
    assert run.iterations.tolist() == [0, 1, 2]
    assert run.unjournaled_iterations == (2,)
    RunWriter.resume(path).close("finished")
    run = open_run(path)
    assert run.unjournaled_iterations == ()
    made_runs.assert_same_snapshot(run[2], 2)


def test_events_of_a_snapshot_found_before_its_journal_entry_are_told_once(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=1)
    _forget_commit(path, 0)
    run = open_run(path)
    assert [event.kind for event in run.events] == ["validation"]
    RunWriter.resume(path).close("finished")
    run.refresh()
    assert [event.kind for event in run.events] == ["validation", "resume"]


def test_a_run_without_its_journal_still_opens(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=6)
    shutil.rmtree(path / ".paramviz")
    run = open_run(path)
    assert run.iterations.tolist() == list(range(6))
    assert run.scalar_series("loss")[1].tolist() == [4.0 / (i + 1) for i in range(6)]
    assert [event.iteration for event in run.events] == [0, 5]
    RunWriter.resume(path).close("finished")
    assert open_run(path).scalar_series("loss")[0].tolist() == list(range(6))


def test_a_committed_chunk_that_is_missing_is_damage_and_not_zeros(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    (path / "iterations/00000001/values/c.0").unlink()
    run = open_run(path)
    for read in (lambda: run[1].array("values"), lambda: run[1].values("wte.weight")):
        with pytest.raises(DamagedRunError) as error:
            read()
        assert error.value.key == "iterations/00000001/values/c.0"
    made_runs.assert_same_snapshot(run[2], 2)
    assert [problem.key for problem in verify_run(path).problems] == ["iterations/00000001/values/c.0"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return made_runs.make_run(tmp_path_factory.mktemp("pristine") / "run", iterations=2)


@given(data=st.data())
def test_no_damage_gives_wrong_numbers_and_verify_names_the_file(pristine, tmp_path, data):
    """A flipped bit or a cut in any file of the run: the same numbers, or an error; never others."""
    files = sorted(p.relative_to(pristine) for p in pristine.rglob("*") if p.is_file() and p.name != "lock")
    file = data.draw(st.sampled_from(files))
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(pristine, path)
    content = bytearray((path / file).read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) * 8 - 1))
        content[at // 8] ^= 1 << at % 8
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    (path / file).write_bytes(content)
    try:
        run = open_run(path)
    except (NotARunError, FormatVersionError, DamagedRunError):
        assert file == Path("zarr.json")
        return
    for iteration in run.iterations.tolist():
        made_runs.assert_right_or_refused(run, iteration)
    report = verify_run(path)
    if file.parts[0] == ".paramviz":
        # A journal that ends early looks like one that a crash cut off; the snapshots are all there.
        assert run.iterations.tolist() == [0, 1]
        return
    assert [problem.key for problem in report.problems] == [str(file)]


def _forget_commit(path: Path, iteration: int) -> None:
    """Cut the journal before the entry of a commit."""
    from paramviz.store.journal import decode_entries, encode_entry

    journal = path / layout.journal_segment(0)
    entries, _, _ = decode_entries(journal.read_bytes())
    at = next(n for n, e in enumerate(entries) if e["k"] == "commit" and e["i"] == iteration)
    journal.write_bytes(b"".join(encode_entry(entry) for entry in entries[:at]))


class WriterAndReader(RuleBasedStateMachine):
    """A writer that crashes and resumes, a reader that stays, and a model in memory."""

    readers = Bundle("readers")

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp())
        self.blocks = small_blocks()
        self.blocks.__enter__()
        self.path = self.folder / "run"
        self.writer: RunWriter | None = made_runs.start(self.path)
        self.committed: list[int] = []
        self.losses: dict[int, float] = {}
        self.next = 0
        self.reader = open_run(self.path)

    @precondition(lambda self: self.writer is not None)
    @rule(skip=st.integers(0, 3))
    def commit(self, skip: int) -> None:
        self.next += skip
        assert self.writer is not None
        made_runs.write(self.writer, self.next)
        self.committed.append(self.next)
        self.losses[self.next] = 4.0 / (self.next + 1)
        self.next += 1

    @precondition(lambda self: self.writer is not None)
    @rule(loss=st.floats(allow_nan=False))
    def step_without_snapshot(self, loss: float) -> None:
        assert self.writer is not None
        self.writer.log_step(self.next, {"loss": loss}, 0.0)
        self.losses[self.next] = loss
        self.next += 1

    @precondition(lambda self: self.writer is not None)
    @rule(written=st.integers(0, 2), torn=st.binary(max_size=40))
    def crash(self, written: int, torn: bytes) -> None:
        """The process is gone: a half-written group and a half-written journal record stay."""
        assert self.writer is not None
        group = self.path / layout.iteration_key(self.next)
        for name in ("values", "statistics")[:written]:
            (group / name).mkdir(parents=True, exist_ok=True)
            (group / name / "c.0").write_bytes(b"half")
        journals = sorted((self.path / layout.JOURNAL).iterdir())
        with open(journals[-1], "ab") as journal:
            journal.write((200).to_bytes(4, "little") + torn)
        self.writer._lock.release()
        self.writer = None

    @precondition(lambda self: self.writer is None)
    @rule()
    def resume(self) -> None:
        self.writer = RunWriter.resume(self.path)
        assert self.writer.last_iteration == max(self.committed, default=None)

    @rule()
    def reopen(self) -> None:
        self.reader = open_run(self.path)

    @invariant()
    def the_reader_sees_what_was_committed(self) -> None:
        before = self.reader.iterations.tolist()
        new = self.reader.refresh().tolist()
        assert sorted(before + new) == self.reader.iterations.tolist() == self.committed
        assert self.reader.status == ("crashed" if self.writer is None else "recording")
        iterations, values = self.reader.scalar_series("loss")
        assert dict(zip(iterations.tolist(), values.tolist(), strict=True)) == self.losses
        for iteration in self.committed[-2:]:
            made_runs.assert_same_snapshot(self.reader[iteration], iteration)
        stds = [made_runs.snapshot(iteration).statistics[1, 1] for iteration in self.committed]
        assert self.reader.timeline("h.0.fc.weight", "std").tolist() == stds

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.blocks.__exit__(None, None, None)
        assert verify_run(self.path).problems == ()
        if self.writer is not None:
            self.writer.close("finished")
        shutil.rmtree(self.folder)


TestWriterAndReader = WriterAndReader.TestCase
TestWriterAndReader.settings = settings(stateful_step_count=15)


def test_a_full_disk_hides_the_snapshot_and_leaves_the_run_whole(tmp_path, monkeypatch):
    """Every write in turn fails with ENOSPC; what was committed before stays, and recording goes on after."""
    real_write = os.write
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    committed, calls = [0], 0

    def failing(descriptor: int, data: object) -> int:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, data)  # type: ignore[arg-type]

    for iteration in range(1, 18):
        fail_at, calls = iteration, 0
        with monkeypatch.context() as patch:
            patch.setattr("paramviz.store.files.os.write", failing)
            try:
                writer.commit(made_runs.snapshot(iteration))
            except OSError:
                assert iteration not in open_run(tmp_path / "run").iterations
            else:
                committed.append(iteration)
    assert 0 < len(committed) < 18, "some writes failed, and later ones did not"
    made_runs.write(writer, 100)
    writer.log_event(Event(100, "gap", "disk full"))
    writer.close("finished")
    run = open_run(tmp_path / "run")
    assert run.iterations.tolist() == [*committed, 100]
    for iteration in run.iterations.tolist():
        made_runs.assert_same_snapshot(run[iteration], iteration)
    assert verify_run(tmp_path / "run").problems == ()
