"""What a run may ask of whoever opens it. Each number has its unit in its name, and its reason.

A run may be a stranger's: a few bytes can claim gigabytes, and a file can be
any size without holding anything. What is beyond these limits is refused
before anything of that size is read or allocated. `docs/SECURITY.md` tells
what they add up to.
"""

from __future__ import annotations

RECORD_BYTES = 16 << 20
"""A `zarr.json`. The catalogue of 20,000 tensors takes 6 MB."""

RECORD_ITEMS = 1 << 20
"""Commas and opening brackets in a `zarr.json`: each may become an object of 60 bytes, and more.
The catalogue of 20,000 tensors has 360,000."""

RECORD_DEPTH = 64
"""Brackets within brackets: what is nested deeper overflows the stack of whoever walks through it."""

NAME_CHARS = 4096
"""A name of a run, a tensor, a role. The longest of a real model have 200."""

WHOLE_NUMBER = 2**53 - 1
"""Iterations, extents, positions: what a JavaScript number holds exactly."""

DIMENSIONS = 32
"""Of a tensor. NumPy 1 had no more."""

FILES_PER_GROUP = 1024
"""In a record's list. Our own groups have at most 20."""

FILE_BYTES = 1 << 32
"""A file of an array: a shard of the embedding of 262,144 tokens, 4,096 wide, has half of that."""

UNBACKED_BYTES = 64 << 20
"""An array of so many bytes may come out of a file of any size, as constant arrays do."""

LARGEST_EXPANSION = 32
"""A larger array may have so many times the bytes of its file. Samples have twice, positions 8 times."""

KEPT_BYTES = 512 << 20
"""Positions, bases and probes stay in memory while a run is open: all of them together."""

KEPT_UNBACKED_BYTES = 1 << 20
PLAN_UNBACKED_BYTES = 48 << 20
"""The same of positions and edges, in all plans together: those of tensors that are kept whole are ascending
numbers, and compress ten thousand times."""

KEPT_EXPANSION = 64
"""Of an array that stays in memory, as the two above of others. Positions expand 8 times."""

PLANS = 4096
"""A new one is made when the model grows or the run is resumed with another budget."""

BASES = 4096

PROBES = 4096

ATTENTION_HEADS = 1 << 14
"""Of one layer. The largest models have 128."""

ATTENTION_POSITIONS = 1 << 14
"""Queries or keys that a pattern covers; ours has at most 64 of each."""

BASIS_SCORES = 64
"""Axes of a basis of the embedding; ours have 8."""

EMBEDDING_WIDTH = 1 << 17

SKETCH_WIDTH = 1024
"""Numbers for each row of a sketched embedding; ours have 128."""

TABLE_COLUMNS = 256
"""Statistics per tensor; ours are 21."""

BLOCK_ROWS = 4096
"""Snapshots or steps in a block."""

DENSE_SNAPSHOTS = 64
"""In a dense block; ours have 16. A piece of so many takes half a megabyte."""

JOURNAL_STEPS = 1 << 22
"""Each costs some hundred bytes of memory."""

JOURNAL_EVENTS = 1 << 18

SCALAR_NAMES = 1 << 14
"""Different scalars of a run: each is a series, and a chart."""

LATEST_UNIX_S = 253_402_300_799.0
"""The end of the year 9999: the last moment that calendars know."""
