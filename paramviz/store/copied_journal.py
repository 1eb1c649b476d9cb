"""The journal of a copy: what was journaled of the snapshots that it holds, and of every step."""

from __future__ import annotations

from paramviz.store import layout
from paramviz.store.journal import Entry, JournalReader, commit_entry, encode_entry
from paramviz.store.layout import decode_number
from paramviz.store.reader import Run
from paramviz.store.records import Record

_JOURNALED = ("iteration", "plan", "events", "scalars", "time_unix_s")
"""What a journal may have to say of a snapshot."""

_KNOWN_KINDS = frozenset({"step", "commit", "event", "plan", "status"})


class JournalCopy:
    """Read at once; then `note` each snapshot that is copied, then `encode`.

    Raises DamagedRunError if a segment of the run's journal fails its checksum.
    """

    def __init__(self, run: Run, anonymous: bool) -> None:
        reader = JournalReader(run.source)
        self._entries = list(reader.read_new())
        for damage in reader.damage:
            if not damage.torn:
                raise run.damaged(damage.key, f"fails its checksum at byte {damage.offset}")
        self.status = run.status
        self._said = run.journaled_status
        self._last_sign_of_life_unix_s = run.last_sign_of_life_unix_s
        self._anonymous = anonymous
        self._commits: dict[int, Record] = {}
        self._blocks: list[Entry] = []

    def note(self, iteration: int, record: Record) -> None:
        """The record that the copy has for a snapshot, without its seal."""
        self._commits[iteration] = {key: record[key] for key in _JOURNALED} | {"crc32c": layout.seal(record)}

    def note_block(self, folder: str, number: int) -> None:
        """A block that the copy has; those of the run are not copied."""
        self._blocks.append({"k": "block", "of": folder, "block": number})

    def encode(self) -> bytes:
        """The journal's only segment."""
        entries = [copied for entry in self._entries for copied in self._sensible(entry)]
        entries += self._unjournaled()
        # Blocks come before the end of the run, as its writer has them.
        ended = bool(entries) and entries[-1].get("k") == "status" and self._said != "recording"
        at = len(entries) - ended
        entries[at:at] = self._blocks
        if self.status != self._said or self.status == "recording":
            entries.append(
                {"k": "status", "status": self.status, "t": self._last_sign_of_life_unix_s, "copied": True}
            )
        return b"".join(map(encode_entry, entries))

    def _sensible(self, entry: Entry) -> list[Entry]:
        try:
            return self._copied(entry)
        except (KeyError, TypeError, ValueError):
            # No reader takes it for anything either.
            return []

    def _copied(self, entry: Entry) -> list[Entry]:
        """What becomes of an entry: itself, nothing, or the events of a snapshot that was left out."""
        kind = entry.get("k")
        if kind == "block":
            return []
        if kind == "commit":
            commit = self._commits.get(entry["i"])
            if commit is not None:
                return [commit_entry(commit, commit["crc32c"], entry["t"])]
            return [
                {"k": "event", "i": entry["i"], "kind": event, "text": self._text(text), "t": entry["t"]}
                for event, text in entry["e"]
            ]
        if kind == "event":
            return [{**entry, "text": self._text(entry["text"])}]
        return [entry] if kind in _KNOWN_KINDS or not self._anonymous else []

    def _text(self, text: str) -> str:
        return "" if self._anonymous else text

    def _unjournaled(self) -> list[Entry]:
        """Entries for the snapshots whose own a crash kept from the journal."""
        journaled, steps = self._iterations("commit"), self._iterations("step")
        entries: list[Entry] = []
        for iteration in sorted(self._commits.keys() - journaled):
            commit = self._commits[iteration]
            entries.append(commit_entry(commit, commit["crc32c"], commit["time_unix_s"]))
            if iteration not in steps:
                scalars = {name: decode_number(value) for name, value in commit["scalars"].items()}
                entries.append({"k": "step", "i": iteration, "s": scalars, "t": commit["time_unix_s"]})
        return entries

    def _iterations(self, kind: str) -> set[int]:
        entries = (entry.get("i") for entry in self._entries if entry.get("k") == kind)
        return {iteration for iteration in entries if isinstance(iteration, int)}
