"""The store: one directory per run, a valid Zarr v3 hierarchy at every moment.

`RunWriter` writes a run, `open_run` reads it while it grows or later,
`verify_run` checks every byte, `pack_run` makes one file of it.
`docs/FORMAT.md` is the specification.
"""

from paramviz.store.files import Durability
from paramviz.store.opening import open_run
from paramviz.store.pack import PackReport, pack_run, unpack_run
from paramviz.store.reader import Run
from paramviz.store.snapshot import StoredSnapshot
from paramviz.store.verify import Problem, VerifyReport, verify_run
from paramviz.store.writer import RunWriter

__all__ = [
    "Durability",
    "PackReport",
    "Problem",
    "Run",
    "RunWriter",
    "StoredSnapshot",
    "VerifyReport",
    "open_run",
    "pack_run",
    "unpack_run",
    "verify_run",
]
