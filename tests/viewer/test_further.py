"""The further quantities over HTTP, on a run of which some snapshots hold them."""

from __future__ import annotations

from pathlib import Path

import msgpack
import numpy as np
import pytest

from paramviz.scaled import from_scaled
from paramviz.store import open_run
from paramviz.store.holdings import Holdings
from viewer.further import PARTS, around

KEY_RUN = Path(__file__).parents[1] / "store" / "golden" / "format-1.0-key"


@pytest.fixture
def run():
    return open_run(KEY_RUN)


@pytest.fixture
def client(make_client):
    return make_client(KEY_RUN)


def unpacked(response):
    assert response.status_code == 200, response.get_data()
    return msgpack.unpackb(response.get_data(), strict_map_key=False)


def key_iteration(run):
    return next(int(i) for i in run.iterations[::-1] if run[int(i)].tier == "key")


def test_each_part_carries_the_recorded_bytes(client, run_url, run):
    iteration = key_iteration(run)
    frame = unpacked(client.get(f"{run_url}/frames/{iteration}?parts={','.join(PARTS)}"))
    for part, fields in PARTS.items():
        for field, (key, dtype) in fields.items():
            expected = run[iteration].array(key)
            sent = frame[part][field]
            assert sent == (None if expected is None else expected.astype(dtype).tobytes()), (part, field)


def test_the_places_lead_to_what_the_accessors_answer(client, run_url, run):
    iteration = key_iteration(run)
    places = client.get(f"{run_url}/plans/0").json["places"]
    frame = unpacked(client.get(f"{run_url}/frames/{iteration}?parts=cells,norms,heads"))
    assert places["cells"]
    for entry, (index, offset, count) in enumerate(places["cells"]):
        means = np.frombuffer(frame["cells"]["mean"], "<f2")[offset : offset + count]
        exponent = np.frombuffer(frame["cells"]["exponents"], "<i2")[3 * entry]
        expected = run[iteration].cells(run.tensors[index].name).mean
        np.testing.assert_array_equal(from_scaled(means, int(exponent)), expected.reshape(-1))
    for entry, (index, offset, count) in enumerate(places["rows"]):
        norms = np.frombuffer(frame["norms"]["rows"], "<f2")[offset : offset + count]
        exponent = np.frombuffer(frame["norms"]["exponents"], "<i2")[4 * entry]
        expected = run[iteration].row_norms(run.tensors[index].name).norms
        np.testing.assert_array_equal(from_scaled(norms, int(exponent)), expected)
    for index, offset, count in places["heads"]:
        norms = np.frombuffer(frame["heads"]["norms"], "<f4")[offset : offset + count]
        np.testing.assert_array_equal(norms, run[iteration].head_norms(run.tensors[index].name).reshape(-1))


def test_a_snapshot_that_lacks_a_part_says_nil(client, run_url, run):
    core = next(int(i) for i in run.iterations if run[int(i)].tier == "core")
    frame = unpacked(client.get(f"{run_url}/frames/{core}?parts=cells,values"))
    assert frame["cells"] is None
    assert frame["values"] is not None


@pytest.mark.parametrize("part", list(PARTS))
def test_the_snapshots_around_an_iteration_that_hold_a_part_are_named(client, run_url, run, part):
    first = next(iter(PARTS[part].values()))[0]
    holding = [int(i) for i in run.iterations if first in run[int(i)].record.arrays]
    for iteration in range(int(run.iterations[-1]) + 2):
        answer = client.get(f"{run_url}/holding/{iteration}?part={part}").json
        assert answer["iteration"] == max((i for i in holding if i <= iteration), default=None)
        assert answer["next"] == min((i for i in holding if i > iteration), default=None)


def test_a_run_far_away_is_asked_of_a_few_snapshots_only(run):
    last = int(run.iterations[-1])
    assert around(Holdings(run, 0), last, "cells") == (None, None)
    assert around(Holdings(run), last, "cells") != (None, None)


def test_an_unknown_part_is_told_which_there_are(client, run_url):
    response = client.get(f"{run_url}/holding/0?part=values")
    assert response.status_code == 400
    assert "cells" in response.json["error"]["message"]
