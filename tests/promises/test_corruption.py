"""Damage of any kind, anywhere in a run: never a wrong number, never nothing said."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, FormatVersionError, NotARunError
from paramviz.store import Run, RunWriter, layout, open_run, verify_run
from paramviz.store.journal import decode_entries, encode_entry
from tests.store import made_runs
from tests.store.small_blocks import small_blocks

ITERATIONS = 7


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    """Two sessions, with sealed blocks and a journal of two segments."""
    path = tmp_path_factory.mktemp("pristine") / "run"
    with small_blocks():
        writer = made_runs.start(path)
        for iteration in range(ITERATIONS):
            if iteration == 4:
                writer.close("crashed")
                writer = RunWriter.resume(path)
            made_runs.write(writer, iteration)
        writer.close("finished")
    return path


def flip(path: Path, rng: random.Random) -> None:
    """One bit, or some of them."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 2, 50])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def lengthen(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.choice([b"\0", b"\0" * 4096, rng.randbytes(100)]))


def blank(path: Path, rng: random.Random) -> None:
    """A stretch of zeros, as a lost page leaves it."""
    content = bytearray(path.read_bytes())
    begin = rng.randrange(len(content))
    end = min(len(content), begin + rng.choice([1, 16, 4096]))
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def exchange(path: Path, rng: random.Random) -> None:
    """Another file of the same name takes its place: whole, sealed, and not the one."""
    root = next(parent for parent in path.parents if (parent / ".paramviz").is_dir())
    others = [p for p in sorted(root.rglob(path.name)) if p.read_bytes() != path.read_bytes()]
    if others:
        path.write_bytes(rng.choice(others).read_bytes())


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (flip, cut, lengthen, blank, remove, exchange)


def assert_right_or_refused(run: Run) -> None:
    """Every number that can be read is the one that was recorded."""
    for iteration in run.iterations.tolist():
        assert iteration < ITERATIONS
        made_runs.assert_right_or_refused(run, iteration)
    iterations, losses = run.scalar_series("loss")
    assert losses.tolist() == [4.0 / (i + 1) for i in iterations.tolist()]
    try:
        stds = run.timeline("h.0.fc.weight", "std").tolist()
    except DamagedRunError:
        return
    assert stds == [made_runs.snapshot(i).statistics[1, 1] for i in run.iterations.tolist()]


def is_told(path: Path, file: Path) -> bool:
    """Whether verify names the file; or the run itself says that it has no good end."""
    report = verify_run(path)
    if any(str(file).startswith(problem.key) for problem in report.problems):
        return True
    # The end of a journal that is cut off is just what a crash leaves of it.
    is_end_of_journal = str(file) == layout.journal_segment(1)
    return is_end_of_journal and (report.status == "crashed" or bool(report.notes))


def test_no_damage_is_silent_and_none_gives_a_wrong_number(pristine, tmp_path, torture):
    """1,000 random damages under torture: flips, cuts, zeros, additions, losses, exchanges."""
    rng, silent = random.Random(11), []
    files = sorted(p.relative_to(pristine) for p in pristine.rglob("*") if p.is_file() and p.name != "lock")
    for n in range(1000 if torture else 25):
        path = tmp_path / "run"
        shutil.copytree(pristine, path)
        file, damage = rng.choice(files), rng.choice(DAMAGES)
        before = (path / file).read_bytes()
        damage(path / file, rng)
        if (path / file).exists() and (path / file).read_bytes() == before:
            shutil.rmtree(path)
            continue
        try:
            assert_right_or_refused(open_run(path))
            if not is_told(path, file):
                silent.append((n, str(file), damage.__name__))
        except (NotARunError, FormatVersionError, DamagedRunError):
            assert file == Path(layout.GROUP_RECORD) or file.parts[0] == layout.PLANS
        shutil.rmtree(path)
    assert silent == []


@pytest.mark.parametrize(
    "key",
    [
        layout.journal_segment(0),
        f"{layout.VOCABULARY}/zarr.json",
        f"{layout.basis_key(0)}/zarr.json",
        f"{layout.block_key(layout.SCALARS, 0)}/zarr.json",
        f"{layout.iteration_key(2)}/zarr.json",
    ],
)
def test_a_record_that_is_gone_is_named(pristine, tmp_path, key):
    """Also where nothing is left that would say by itself that it was there."""
    path = tmp_path / "run"
    shutil.copytree(pristine, path)
    (path / key).unlink()
    assert [problem.key for problem in verify_run(path).problems] == [key]


def test_a_run_without_any_journal_is_noted(pristine, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(pristine, path)
    shutil.rmtree(path / ".paramviz")
    report = verify_run(path)
    assert (report.problems, len(report.notes)) == ((), 1)


def test_a_journal_that_lost_the_end_of_an_earlier_session_is_damaged(pristine, tmp_path):
    """Cut between two records, where no checksum is hurt: the next segment knows how long it was."""
    path = tmp_path / "run"
    shutil.copytree(pristine, path)
    segment = path / layout.journal_segment(0)
    entries, _, _ = decode_entries(segment.read_bytes())
    segment.write_bytes(b"".join(map(encode_entry, entries[:-3])))
    assert [problem.key for problem in verify_run(path).problems] == [layout.journal_segment(0)]
    assert open_run(path).iterations.tolist() == list(range(ITERATIONS))
