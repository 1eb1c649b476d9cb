"""A run is plain Zarr v3: other libraries open it without our code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorstore
import zarr

from tests.store import made_runs


def test_zarr_python_reads_every_array(tmp_path):
    root = zarr.open_group(made_runs.make_run(tmp_path / "run"), mode="r", zarr_format=3)
    assert root.attrs["paramviz"]["format"] == "1.0"
    for iteration in range(3):
        made = made_runs.snapshot(iteration)
        for key in made_runs.ARRAYS:
            read = root[f"iterations/{iteration:08d}/{key}"][...]
            assert read.tobytes() == getattr(made, key).tobytes()
    assert root["plans/0000/positions"].shape == (made_runs.N_VALUES,)
    assert root["bases/0000/components"].shape == (made_runs.N_SCORES, made_runs.WIDTH)
    assert bytes(root["vocabulary/text"][:3]) == b"abc"


def test_zarr_python_can_walk_the_whole_hierarchy(tmp_path):
    """Foreign files would make it warn, and warnings are errors here."""
    root = zarr.open_group(made_runs.make_run(tmp_path / "run") / "iterations", mode="r", zarr_format=3)
    assert sorted(name for name, _ in root.groups()) == ["00000000", "00000001", "00000002"]
    assert {name for name, _ in root["00000000"].arrays()} == set(made_runs.ARRAYS)


def test_tensorstore_reads_every_array(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    made = made_runs.snapshot(1)
    for key in made_runs.ARRAYS:
        read = _tensorstore_array(path / "iterations/00000001" / key)
        assert read.tobytes() == getattr(made, key).tobytes()


def _tensorstore_array(path: Path) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return np.asarray(tensorstore.open(spec, read=True).result().read().result())
