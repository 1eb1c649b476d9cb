"""Runs whose files are not what files of a run are: links, pipes, bombs, holes, and foreign formats."""

from __future__ import annotations

import json
import os
import shutil
import socket

from paramviz.schema import STATISTIC_KEYS
from tests.attacks import frames
from tests.attacks.attack import Attack
from tests.attacks.payloads import SECRET
from tests.attacks.tampering import Tampered
from tests.store import made_runs

GROUP = "iterations/00000001"
VALUES, STATISTICS = f"{GROUP}/values/c.0", f"{GROUP}/statistics/c.0.0"
JOURNAL, LOCK = ".paramviz/journal/000000.log", ".paramviz/lock"
N_BYTES = made_runs.N_VALUES * 2
TABLE_BYTES = len(made_runs.TENSORS) * len(STATISTIC_KEYS) * 4


def _moved_and_linked(key: str) -> Attack:
    """The file or folder lies beside the run, with the right content; a link leads to it."""

    def build(run: Tampered) -> None:
        outside = run.path.parent.with_name(f"{run.path.parent.name}-outside")
        shutil.move(run.file(key), outside)
        run.file(key).symlink_to(outside)

    return Attack(build, key, "symbolic link")


def _linked_to(key: str, target: str, says: str = "symbolic link") -> Attack:
    def build(run: Tampered) -> None:
        run.file(key).unlink(missing_ok=True)
        run.file(key).symlink_to(target)

    return Attack(build, key, says)


def _pipe(key: str) -> Attack:
    def build(run: Tampered) -> None:
        run.file(key).unlink(missing_ok=True)
        os.mkfifo(run.file(key))

    return Attack(build, key, "no plain file")


def _socket(key: str) -> Attack:
    def build(run: Tampered) -> None:
        run.file(key).unlink()
        here = os.getcwd()
        # The name of a socket may be a hundred characters long, so it is bound from within its folder.
        os.chdir(run.file(key).parent)
        try:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(run.file(key).name)
        finally:
            os.chdir(here)

    return Attack(build, key, "cannot be read")


def _folder(key: str) -> Attack:
    def build(run: Tampered) -> None:
        run.file(key).unlink()
        run.file(key).mkdir()

    return Attack(build, key, "no plain file")


def _frame(data: bytes, says: str = "") -> Attack:
    """Another frame in place of a table's."""
    return Attack(lambda run: run.replace_array(GROUP, "statistics", data), STATISTICS, says)


def _shard(data: bytes, says: str = "") -> Attack:
    """Another shard, with checksums of two inner chunks in the record, as the plan asks for."""

    def build(run: Tampered) -> None:
        run.replace_array(GROUP, "values", data)
        run.reseal(GROUP, lambda r: r["files"]["values/c.0"].append([0, 0]))

    return Attack(build, VALUES, says)


def _holes(run: Tampered) -> None:
    """A file of 256 MB without anything in it, and a record that says so."""
    run.sparse(VALUES, 1 << 28)
    run.reseal(GROUP, lambda r: r["files"].update({"values/c.0": [1 << 28, 1]}))


def _far_chunks(run: Tampered) -> None:
    """Two chunks with a hole between them, read together if nobody looks."""
    import numpy as np

    from paramviz.store.codec import crc32c

    chunk = frames.good(np.zeros(16_384, "<f2").tobytes())
    length = 60_000
    index = np.array([(0, len(chunk)), (length - 36 - len(chunk), len(chunk))], "<u8").tobytes()
    with open(run.file(VALUES), "r+b") as file:
        file.write(chunk)
        file.seek(length - 36 - len(chunk))
        file.write(chunk + index + crc32c(index).to_bytes(4, "little"))
        file.truncate(length)
    seal = [length, 1, [crc32c(chunk)] * 2]
    run.reseal(GROUP, lambda r: r["files"].update({"values/c.0": seal}))


def _pickled_v2(run: Tampered) -> None:
    """An array of Zarr 2 whose filters reach a decoder of pickles, beside each of ours."""
    metadata = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "|O",
        "fill_value": None,
        "order": "C",
        "compressor": None,
        "filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}],
    }
    for folder in (GROUP, f"{GROUP}/values", "plans/0000/positions", "."):
        run.file(f"{folder}/.zarray").write_text(json.dumps(metadata))
        run.file(f"{folder}/.zgroup").write_text('{"zarr_format": 2}')
        run.file(f"{folder}/0").write_bytes(b"cposix\nsystem\n(S'touch owned'\ntR.")


def _pickle_codec(run: Tampered) -> None:
    """Metadata of an array that asks for the codec of pickles, under a right checksum."""
    from paramviz.store.codec import crc32c

    key = "values/zarr.json"
    document = json.loads(run.file(f"{GROUP}/{key}").read_bytes())
    document["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
    data = json.dumps(document).encode()
    run.write(f"{GROUP}/{key}", data)
    run.reseal(GROUP, lambda r: r["files"].update({key: [len(data), crc32c(data)]}))


def _folder_names(run: Tampered) -> None:
    """Folders below `iterations/` that may pass for snapshots."""
    names = [
        "9" * 200,
        "99999999999999999999",
        "000000001",
        "-0000001",
        "+0000001",
        "0000000\u0661",
        "00000009\n",
        "0x000001",
        "00000001 ",
        "\x1b[2J\x1b]0;owned\x07",
        "$(touch owned)",
        "..00000001",
    ]
    for name in names:
        shutil.copytree(run.file(GROUP), run.file(f"iterations/{name}"))
    run.file("iterations/00000077").write_bytes(b"a file")
    run.file("iterations/00000078").symlink_to("00000001")
    run.file("plans/9999999999999999999").mkdir()


good_table = frames.good(bytes(TABLE_BYTES))

ATTACKS: dict[str, Attack] = {
    "a chunk that is a link to a file outside": _moved_and_linked(VALUES),
    "a chunk that is a link to a secret": Attack(
        lambda run: (
            run.file(VALUES).unlink(),
            run.path.parent.with_suffix(".secret").write_text(SECRET),
            run.file(VALUES).symlink_to(run.path.parent.with_suffix(".secret")),
        ),
        VALUES,
        "symbolic link",
    ),
    "a chunk that is a link to a device without end": _linked_to(STATISTICS, "/dev/zero"),
    "a chunk that is a link to itself": _linked_to(VALUES, "c.0"),
    "a chunk that is a link within the run": _linked_to(VALUES, "../../00000000/values/c.0"),
    "an array that is a link": Attack(_moved_and_linked(f"{GROUP}/values").build, VALUES, "symbolic link"),
    "a snapshot that is a link": Attack(_moved_and_linked(GROUP).build, GROUP, "symbolic link"),
    "a plan that is a link": Attack(_moved_and_linked("plans/0000").build, "plans/0000", "symbolic link"),
    "blocks that are a link": Attack(_moved_and_linked("timeline").build, "timeline", "symbolic link"),
    "blocks of scalars that are a link": Attack(
        _moved_and_linked("scalars").build, "scalars", "symbolic link"
    ),
    "bases that are a link": Attack(_moved_and_linked("bases").build, "bases", "symbolic link"),
    "plans that are a link": Attack(_moved_and_linked("plans").build, "plans", "symbolic link"),
    "iterations that are a link": _moved_and_linked("iterations"),
    "a private folder that is a link": Attack(_moved_and_linked(".paramviz").build, JOURNAL, "symbolic link"),
    "a journal that is a link": _moved_and_linked(JOURNAL),
    "a journal that is a link to a device": _linked_to(JOURNAL, "/dev/zero"),
    "a root record that is a link": _moved_and_linked("zarr.json"),
    "a root record that is a link to a device": _linked_to("zarr.json", "/dev/zero"),
    "a lock that is a link to a device": Attack(_linked_to(LOCK, "/dev/zero").build),
    "a lock that is a pipe": Attack(_pipe(LOCK).build),
    "a lock of 200 MB": Attack(lambda run: (run.write(LOCK, b"{"), run.sparse(LOCK, 200 << 20))),
    "a lock that is nested deep": Attack(lambda run: run.write(LOCK, b"[" * 4000)),
    "a chunk that is a pipe": _pipe(VALUES),
    "a chunk that is a socket": _socket(STATISTICS),
    "a chunk that is a folder": _folder(VALUES),
    "a record that is a pipe": _pipe(f"{GROUP}/zarr.json"),
    "a root record that is a pipe": _pipe("zarr.json"),
    "a journal that is a pipe": _pipe(JOURNAL),
    "a journal that is a folder": _folder(JOURNAL),
    "a second segment that is a pipe": _pipe(".paramviz/journal/000001.log"),
    "a chunk of 300 GB": Attack(lambda run: run.sparse(VALUES, 300 << 30), VALUES, "committed"),
    "a chunk of 256 MB that is a hole": Attack(_holes, VALUES, "268,435,456 bytes for"),
    "a chunk with a hole in it": Attack(_far_chunks, VALUES, "gaps"),
    "a record of a snapshot of 200 MB": Attack(
        lambda run: run.sparse(f"{GROUP}/zarr.json", 200 << 20), f"{GROUP}/zarr.json", "16,777,216"
    ),
    "a catalogue of 200 MB": Attack(
        lambda run: run.sparse("plans/0000/zarr.json", 200 << 20), "plans/0000/zarr.json", "16,777,216"
    ),
    "a frame that states two gigabytes": _frame(frames.claims(1 << 31, 1 << 25), f"expected {TABLE_BYTES}"),
    "a frame that states less than it has": _frame(frames.claims(TABLE_BYTES, 1 << 25), "decompress"),
    "a frame that states more than it has": _frame(frames.claims(TABLE_BYTES, 4), "decompress"),
    "a frame with a window of a terabyte": _frame(frames.with_window(40, TABLE_BYTES), "how large"),
    "a frame without a checksum": _frame(frames.without_checksum(bytes(TABLE_BYTES)), "no checksum"),
    "a frame with a wrong checksum": _frame(good_table[:-4] + bytes(4), "decompress"),
    "a frame with a dictionary": _frame(frames.with_dictionary(bytes(TABLE_BYTES))),
    "a frame that is cut off": _frame(good_table[:-6]),
    "a frame behind one that is skipped": _frame(frames.skippable(64) + good_table, "no zstd frame"),
    "a frame with a bomb behind it": _frame(good_table + frames.claims(1 << 31, 1 << 17), "one frame"),
    "a frame of nothing": _frame(b"", ""),
    "a shard without an index": _shard(b"x" * 10, "index"),
    "a shard that points out of itself": _shard(frames.shard([b"x"], [(0, 1), (1 << 40, 1)]), "outside"),
    "a shard whose offsets overflow": _shard(
        frames.shard([b"x"], [(2**64 - 1, 2), (2**64 - 1, 2**64 - 1)]), "outside"
    ),
    "a shard with a chunk that is too long": _shard(
        frames.shard([bytes(40_000)], [(0, 40_000), (0, 40_000)]), "more bytes"
    ),
    "a shard of two bombs": _shard(
        frames.shard([frames.bomb(1 << 28)], [(0, len(frames.bomb(1 << 28)))] * 2), "expected 32768"
    ),
    "arrays of Zarr 2 with pickles": Attack(_pickled_v2),
    "metadata that asks for pickles": Attack(_pickle_codec),
    "folders that may pass for snapshots": Attack(_folder_names),
}
