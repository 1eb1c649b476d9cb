"""Nothing is written outside of its place, and nothing is written that could not be read again."""

from __future__ import annotations

import numpy as np
import pytest

from paramviz.errors import DamagedRunError, OutputError, UsageError
from paramviz.schema import TensorInfo
from paramviz.store import RunWriter, limits, pack_run, unpack_run
from paramviz.store.codec import crc32c
from tests.attacks.attack import nested
from tests.attacks.tampering import Tampered
from tests.store import made_runs


@pytest.fixture
def run(tmp_path):
    """A good run in a folder of its own."""
    return Tampered(made_runs.make_run(tmp_path / "inside" / "run", iterations=1))


@pytest.mark.parametrize("copy", [unpack_run, pack_run])
def test_a_copy_leads_nothing_out_of_its_place(tmp_path, run, copy):
    """The record vouches, rightly, for a file beside the run; its copy would land beside the copy."""
    (tmp_path / "inside" / "secret").write_bytes(b"secret")
    key = "../../../secret"
    run.reseal("iterations/00000000", lambda r: r["files"].update({key: [6, crc32c(b"secret")]}))
    out = tmp_path / "outside" / "copy.zarr.zip"
    out.parent.mkdir()
    with pytest.raises(DamagedRunError, match="no name of a file"):
        copy(run.path, out)
    assert list(out.parent.iterdir()) == []


def test_who_records_on_empties_no_file_behind_a_link(tmp_path, run):
    """The lock of a run from elsewhere is a link to a file of ours; taking it would empty that file."""
    treasure = tmp_path / "treasure"
    treasure.write_text("precious")
    run.file(".paramviz/lock").unlink()
    run.file(".paramviz/lock").symlink_to(treasure)
    with pytest.raises(OutputError):
        RunWriter.resume(run.path)
    assert treasure.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("x" * (limits.NAME_CHARS + 1), {}),
        ("run", nested(limits.RECORD_DEPTH)),
        ("run", "x" * limits.RECORD_BYTES),
        ("run", list(range(limits.RECORD_ITEMS))),
    ],
    ids=["a long name", "a deep configuration", "a large one", "one of many items"],
)
def test_a_run_that_could_not_be_read_again_is_not_begun(tmp_path, name, config):
    with pytest.raises(UsageError, match="could not be read again"):
        RunWriter.create(tmp_path / "run", name=name, description={"config": config})
    assert not (tmp_path / "run").exists()


def test_a_catalogue_that_could_not_be_read_again_is_refused(tmp_path):
    writer = made_runs.create(tmp_path / "run")
    tensor = TensorInfo(0, "x" * (limits.NAME_CHARS + 1), (2,), "float32", "other", None, "other")
    with pytest.raises(UsageError, match="Leave some of them out"):
        writer.add_plan([tensor], *[np.empty(0, np.int64)] * 2)
    writer.close("finished")


def test_a_catalogue_of_twenty_thousand_tensors_is_well_within_the_limits(tmp_path):
    """Long names, four dimensions: what the largest mixtures of experts have."""
    writer = made_runs.create(tmp_path / "run")
    prefix = "model.decoder.layers.61.mixture_of_experts.experts.255.feed_forward.projection"
    tensors = [
        TensorInfo(n, f"{prefix}.{n}.weight", (4096, 512, 3, 3), "bfloat16", "expert", 61, "mlp")
        for n in range(20_000)
    ]
    plan = writer.add_plan(tensors, *[np.empty(0, np.int64)] * 2)
    assert len(plan.tensors) == 20_000
    writer.close("finished")
    assert (tmp_path / "run" / "plans" / "0000" / "zarr.json").stat().st_size < limits.RECORD_BYTES / 2
