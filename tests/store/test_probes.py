"""What a probe says comes back from every container, and damage to it is named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from paramviz.errors import DamagedRunError, NotRecordedError
from paramviz.schema import GradientStates, Probe, Snapshot
from paramviz.store import RunWriter, layout, open_run, pack_run, unpack_run, verify_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store.rich_runs import PROBE, make_plan, make_run, probed


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def assert_same(found: Probe, expected: Probe) -> None:
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    nothing = np.empty(0)
    assert replace(found, tokens=nothing).__repr__() == replace(expected, tokens=nothing).__repr__()


def assert_says_all(run) -> None:
    made = probed(0)
    assert_same(run[0].probe, PROBE)
    for number, layer in enumerate(PROBE.layers):
        attention = run[0].attention(number)
        part = made["attention"][number, : layer.heads, : layer.queries, : layer.keys]
        np.testing.assert_array_equal(attention.pattern, part)
        np.testing.assert_array_equal(attention.entropy, made["attention_entropy"][number, : layer.heads])
        np.testing.assert_array_equal(attention.max_logit, made["attention_max_logit"][number, : layer.heads])
        np.testing.assert_array_equal(run[0].attention(layer.name).pattern, part)
        np.testing.assert_array_equal(run[0].attention(number - len(PROBE.layers)).pattern, part)
    for number, module in enumerate(PROBE.modules):
        assert list(run[0].activations(module).values()) == made["activations"][number].tolist()
        assert tuple(run[0].activations(module)) == PROBE.columns
    assert run[0].residual_rms() == dict(zip(PROBE.residuals, made["residual_rms"].tolist(), strict=True))


def test_a_snapshot_says_what_its_probe_found(path):
    assert_says_all(open_run(path))
    assert verify_run(path).problems == ()


def test_it_comes_back_from_every_container(path, tmp_path):
    packed, dense = tmp_path / "run.zarr.zip", tmp_path / "dense.zarr.zip"
    exported, unpacked = tmp_path / "run.h5", tmp_path / "unpacked"
    pack_run(path, packed)
    pack_run(path, dense, dense=True)
    export_hdf5(path, exported)
    unpack_run(packed, unpacked)
    for copy in (packed, dense, exported, unpacked):
        assert_says_all(open_run(copy))
        assert verify_run(copy).problems == ()


def test_an_anonymous_copy_does_not_quote_the_probe(path, tmp_path):
    pack_run(path, tmp_path / "run.zarr.zip", anonymous=True)
    run = open_run(tmp_path / "run.zarr.zip")
    assert len(run[0].probe.tokens) == 0
    assert run[0].attention(0).pattern.shape == (2, 4, 4), "the numbers stay"
    assert verify_run(run.path).problems == ()


def test_other_zarr_readers_see_the_patterns(path):
    zarr = pytest.importorskip("zarr")
    array = zarr.open_group(path, mode="r", zarr_format=3)["iterations/00000000/attention"]
    np.testing.assert_array_equal(array[:], probed(0)["attention"])


def test_a_snapshot_without_a_probe_says_so(path):
    run = open_run(path)
    assert run[1].probe is None
    for ask in (lambda: run[1].attention(0), lambda: run[1].activations("h.0"), run[1].residual_rms):
        with pytest.raises(NotRecordedError, match="no key snapshot"):
            ask()
    assert run[1].array("attention") is None


def test_a_layer_or_module_that_was_not_seen_is_named_with_the_reason(path):
    run = open_run(path)
    for unknown in (2, -3, "h.2.attn"):
        with pytest.raises(NotRecordedError, match=r"h\.2\.attn: no attention was seen"):
            run[0].attention(unknown)
    with pytest.raises(NotRecordedError, match=r"It knows 4"):
        run[0].activations("h.7")


def test_a_resumed_run_goes_on_with_further_probes(path, tmp_path):
    unpacked = make_run(tmp_path / "run")
    writer = RunWriter.resume(unpacked)
    other = replace(PROBE, tokens=np.arange(3), modules=("x",), layers=(), residuals=())
    assert writer.add_probe(other) == 1
    values = {"activations": np.ones((1, len(PROBE.columns)), np.float32)}
    writer.commit(Snapshot(2, 0, "key", 1.0, {}, [], GradientStates(), probe=1, more=values))
    writer.close("finished")
    run = open_run(unpacked)
    assert_says_all(run)
    assert_same(run[2].probe, replace(other, number=1))
    assert run[2].activations("x")["rms"] == 1
    assert verify_run(unpacked).problems == ()


def test_what_no_probe_explains_is_refused(tmp_path):
    plan, _ = make_plan()
    writer = RunWriter.create(tmp_path / "run", description={})
    writer.add_plan(plan.tensors, plan.positions, plan.vector_positions)
    snapshot = Snapshot(0, 0, "key", 1.0, {}, [], GradientStates(), more=probed(0))
    with pytest.raises(ValueError, match="no probe None"):
        writer.commit(snapshot)
    writer.add_probe(PROBE)
    snapshot.probe, snapshot.more["residual_rms"] = 0, np.ones(2, np.float32)
    with pytest.raises(ValueError, match="residual_rms"):
        writer.commit(snapshot)
    writer.close("finished")


@pytest.mark.parametrize(
    "key",
    [
        "iterations/00000000/attention/c.0.0.0.0",
        "iterations/00000000/activations/c.0.0",
        "probes/0000/tokens/c.0",
    ],
)
def test_damage_to_it_is_named(tmp_path, key):
    file = make_run(tmp_path / "run") / key
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 64
    file.write_bytes(data)
    run = open_run(tmp_path / "run")
    with pytest.raises(DamagedRunError):
        (run[0].attention(0), run[0].attention(1), run[0].activations("h.0"))
    assert key in [p.key for p in verify_run(run.path).problems]


HOSTILE = {
    "a layer of 2^40 heads": lambda r: r["layers"][0].update(heads=2**40),
    "a pattern of 2^40 keys": lambda r: r["layers"][0].update(pattern=[4, 2**40]),
    "a pattern in one dimension": lambda r: r["layers"][0].update(pattern=[4]),
    "layers that are numbers": lambda r: r.update(layers=[1, 2]),
    "a thousand columns": lambda r: r.update(columns=["rms"] * 1000),
    "modules that are a text": lambda r: r.update(modules="h.0"),
    "more tokens than are there": lambda r: r.update(tokens=2**40),
    "an input of a thousand dimensions": lambda r: r["inputs"][0].update(shape=[1] * 1000),
    "no residuals": lambda r: r.pop("residuals"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_probe_is_refused(tmp_path, change):
    path = make_run(tmp_path / "run")
    file = path / "probes/0000/zarr.json"
    record = json.loads(file.read_bytes())["attributes"]["paramviz"]
    del record["crc32c"]
    change(record)
    file.write_bytes(layout.group_metadata(record))
    run = open_run(path)
    with pytest.raises(DamagedRunError) as error:
        run[0].attention(0)
    assert error.value.key == "probes/0000"
    assert [p.key for p in verify_run(path).problems] == ["probes/0000"]
    run[0].values("qkv")
