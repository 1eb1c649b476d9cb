"""Changing a good run so that every checksum still fits: what a stranger can do who knows the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paramviz.store import layout
from paramviz.store.codec import crc32c
from paramviz.store.journal import decode_entries, encode_entry

Record = dict[str, Any]
Change = Callable[[Record], object]


class Tampered:
    """A run at `path` that is changed in place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, key: str) -> Path:
        return self.path / key

    def write(self, key: str, data: bytes) -> None:
        """Put `data` in place of whatever is at `key`."""
        file = self.path / key
        file.unlink(missing_ok=True)
        file.write_bytes(data)

    def sparse(self, key: str, n_bytes: int) -> None:
        """A file that claims to be large and takes no room on the disk."""
        with open(self.path / key, "r+b") as file:
            file.truncate(n_bytes)

    def reseal(self, group: str, change: Change) -> None:
        """Change the record of a group, and give it a seal that fits; the journal is told of a commit's."""
        key = f"{group}/zarr.json" if group else "zarr.json"
        document = json.loads(self.file(key).read_bytes())
        record = document["attributes"]["paramviz"]
        del record["crc32c"]
        change(record)
        self.write(key, group_text(record))
        if group.startswith("iterations/"):
            self._tell_journal(int(group.rpartition("/")[2]), seal_of(record))

    def reseal_text(self, group: str, old: str, new: str) -> None:
        """Replace a text in a record by one that `json` would not write, and give it a seal that fits."""
        key = f"{group}/zarr.json" if group else "zarr.json"
        record = json.loads(self.file(key).read_bytes())["attributes"]["paramviz"]
        del record["crc32c"]
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        assert old in text
        # The seal is of the text that reading and writing it again gives.
        self.write(key, group_text(json.loads(text.replace(old, new, 1))))

    def replace_array(self, group: str, name: str, data: bytes) -> None:
        """Other bytes for an array's only chunk, with a length and a checksum that fit."""
        chunk = next(file.name for file in self.file(f"{group}/{name}").iterdir() if file.name != "zarr.json")
        self.write(f"{group}/{name}/{chunk}", data)
        self.reseal(group, lambda r: r["files"].update({f"{name}/{chunk}": [len(data), crc32c(data)]}))

    def entries(self, change: Callable[[list[Any]], object]) -> None:
        """Change the list of journal entries; their checksums fit."""
        journal = self.file(layout.journal_segment(0))
        found, _, _ = decode_entries(journal.read_bytes())
        change(found)
        self.write(layout.journal_segment(0), b"".join(map(encode_entry, found)))

    def append_journal(self, *payloads: bytes) -> None:
        """Add payloads that are not necessarily entries, each with a length and a checksum that fit."""
        with open(self.file(layout.journal_segment(0)), "ab") as journal:
            for payload in payloads:
                journal.write(framed(payload))

    def _tell_journal(self, iteration: int, seal: int) -> None:
        def tell(entries: list[Any]) -> None:
            for entry in entries:
                if entry.get("k") == "commit" and entry["i"] == iteration:
                    entry["crc"] = seal

        self.entries(tell)


def framed(payload: bytes) -> bytes:
    """A journal record of any payload."""
    return len(payload).to_bytes(4, "little") + crc32c(payload).to_bytes(4, "little") + payload


def group_text(record: Record) -> bytes:
    """`zarr.json` of a group with this record; unlike ours it takes NaN."""
    attributes = {"paramviz": {**record, "crc32c": seal_of(record)}}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()


def seal_of(record: Record) -> int:
    return crc32c(json.dumps(record, sort_keys=True, separators=(",", ":")).encode())
