"""One process writes, four read: no torn read, and the list of iterations only grows."""

from __future__ import annotations

from paramviz.store import verify_run

READERS = 4


def test_four_readers_of_a_growing_run_see_only_whole_snapshots(tmp_path, programs, torture):
    """They compare every array with what was written, open anew now and then, and follow to the end."""
    path, (iterations, duration_s) = tmp_path / "run", (1000, 180.0) if torture else (25, 0.0)
    readers = [programs.start("read_until_finished", path, seed) for seed in range(READERS)]
    writer = programs.start("write_until_told", path, iterations, duration_s)
    assert writer.wait(duration_s) == 0, writer.errors.read_text()
    assert [reader.wait() for reader in readers] == [0] * READERS, [r.errors.read_text() for r in readers]
    report = verify_run(path)
    assert report.problems == ()
    assert report.iterations >= iterations
    for reader in readers:
        looks, reads, seen = map(int, reader.lines()[0].split())
        assert seen == report.iterations
        assert min(looks, reads) > 3
        print(f"{looks} looks, {reads} snapshots read and compared, of {seen}")
