"""What recording has done and cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """What recording has done and cost so far.

    `snapshots` are committed, `lost` were due and are missing, `repeated_steps`
    named an iteration that had gone by, `dropped_steps` found no room in the
    queue. `raw_bytes` and `stored_bytes` are of the committed snapshots, before
    and after encoding. `training_thread_s` is the time that training waited.
    """

    snapshots: int
    lost: int
    repeated_steps: int
    dropped_steps: int
    raw_bytes: int
    stored_bytes: int
    training_thread_s: float
