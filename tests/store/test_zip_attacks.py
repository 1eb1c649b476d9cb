"""Zip files that were made to do harm are refused by name, before anything of them is used."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, NotARunError, UnsafeRunError
from paramviz.store import open_run
from paramviz.store import zip_directory as directory
from paramviz.store.zip_source import ZipSource


def entry(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    return info


def make(path: Path, *entries: tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for info, data in entries:
            archive.writestr(info, data, method)
    return path


def patch_directory(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes of the first entry of the list of files."""
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + offset
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


ATTACKS = {
    "a bomb": (
        lambda p: make(p, (entry("zarr.json"), bytes(1 << 24)), method=zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "a size that is not the stored one": (
        lambda p: patch_directory(make(p, (entry("a"), b"12345678")), 24, struct.pack("<I", 1 << 30)),
        "compressed",
    ),
    "an absolute name": (lambda p: make(p, (entry("/etc/passwd"), b"x")), "name"),
    "a name that leads out": (lambda p: make(p, (entry("plans/../../x"), b"x")), "name"),
    "a name of Windows": (lambda p: make(p, (entry("C:x"), b"x")), "name"),
    "a backslash": (
        lambda p: patch_directory(make(p, (entry("a/b"), b"x")), 46, b"a\\b"),
        "name",
    ),
    "a control character": (lambda p: make(p, (entry("a\x1b[2J"), b"x")), "name"),
    "an endless name": (lambda p: make(p, (entry("a" * 5000), b"x")), "name"),
    "the same name twice": (
        lambda p: patch_directory(make(p, (entry("b"), b"x"), (entry("a"), b"y")), 46, b"a"),
        "name",
    ),
    "a symbolic link": (
        lambda p: make(p, (entry("zarr.json", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "link",
    ),
    "a device": (lambda p: make(p, (entry("zarr.json", stat.S_IFCHR | 0o666), b"")), "link"),
    "an encrypted file": (
        lambda p: patch_directory(make(p, (entry("zarr.json"), b"x")), 8, struct.pack("<H", 1)),
        "encrypted",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_zip_is_refused_with_its_reason(tmp_path, attack):
    make_it, reason = ATTACKS[attack]
    path = make_it(tmp_path / "run.zarr.zip")
    with pytest.raises(UnsafeRunError) as error:
        open_run(path)
    assert error.value.reason == reason
    assert str(error.value).isprintable()


def test_files_that_overlap_are_refused(tmp_path):
    """A thousand names for the same bytes would unpack to a thousand times the file."""
    path = make(tmp_path / "run.zarr.zip", *((entry(f"{n:03}"), bytes(10_000)) for n in range(3)))
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\1\2")
    for n in range(3):
        # The size of each becomes that of all, and each begins at the beginning.
        at = start + n * (46 + 3)
        content[at + 20 : at + 28] = struct.pack("<II", 20_000, 20_000)
        content[at + 42 : at + 46] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(UnsafeRunError) as error:
        open_run(path)
    assert error.value.reason == "overlap"


@pytest.mark.parametrize(("count", "length"), [(1 << 40, 1 << 50), (1 << 21, 46 << 21)])
def test_a_list_of_files_without_end_is_refused_before_it_is_read(count, length):
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, length, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    tail = end64 + locator + end
    read: list[int] = []

    def read_at(offset: int, n: int) -> bytes:
        read.append(n)
        zeros = min(n, max(0, length - offset))
        return bytes(zeros) + tail[max(0, offset - length) : max(0, offset + n - length)]

    with pytest.raises(UnsafeRunError) as error:
        directory.ZipDirectory("made.zip", read_at, length + len(tail)).members()
    assert error.value.reason == "count"
    assert sum(read) < 1 << 17


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda c: c[: len(c) // 2], "cut off"),
        (lambda c: c + b"appended", "cut off|follows its end"),
        (lambda c: b"#!/bin/sh\n" + c, "neither a packed run"),
        (lambda c: c[:4] + b"inserted" + c[4:], "not where its end says"),
        (lambda c: c.replace(b"PK\1\2", b"PK\1\3"), "list of files is broken"),
    ],
)
def test_a_zip_that_suffered_on_its_way_is_damage(tmp_path, break_it, says):
    path = make(tmp_path / "run.zarr.zip", (entry("zarr.json"), bytes(1000)))
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises((DamagedRunError, NotARunError), match=says):
        open_run(path)


def test_a_file_that_would_lie_behind_the_end_is_damage(tmp_path):
    path = make(tmp_path / "run.zarr.zip", (entry("zarr.json"), b"{}"))
    patch_directory(path, 42, struct.pack("<I", 1 << 30))
    with pytest.raises(DamagedRunError, match="lies outside of the file"):
        open_run(path)


def test_a_file_whose_own_header_says_otherwise_is_not_there(tmp_path):
    """The list says zarr.json, what lies there is called evil.json."""
    path = make(tmp_path / "run.zarr.zip", (entry("evil.json"), b"{}"))
    patch_directory(path, 46, b"zarr.json")
    with pytest.raises(NotARunError):
        open_run(path)


def test_one_part_of_several_is_refused(tmp_path):
    path = make(tmp_path / "run.zarr.zip", (entry("zarr.json"), b"{}"))
    content = bytearray(path.read_bytes())
    content[-18:-16] = struct.pack("<H", 3)
    path.write_bytes(content)
    with pytest.raises(UnsafeRunError) as error:
        open_run(path)
    assert error.value.reason == "parts"


def test_a_zip_of_more_than_four_gigabytes_is_read(tmp_path):
    """Sizes and offsets beyond 32 bits, in a file that is mostly a hole."""
    members = {"first": b"1" * 10, "last": b"2" * 10}
    path = tmp_path / "large.zip"
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(entry("first"), members["first"])
        file.seek(5 << 30)
        archive.start_dir = 5 << 30
        archive.writestr(entry("last"), members["last"])
    source = ZipSource.open(path)
    for key, data in members.items():
        assert source.size(key) == 10
        assert source.read(key, 1 << 20) == data
        assert source.read_range(key, 4, 100) == data[4:]
    assert sorted(source.list_folder("")) == ["first", "last"]
