"""A tensor's histogram over time: true counts, few snapshots of many, and damage that is named."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.store import open_run
from tests.store import made_runs
from viewer import histograms
from viewer.histograms import HistogramTables, spread


@pytest.fixture
def long_path(tmp_path):
    return made_runs.make_run(tmp_path / "long", iterations=11)


def told(client, tensor):
    url = "/api/runs/" + client.get("/api/runs").json["runs"][0]["id"]
    answer = client.get(f"{url}/histograms/{tensor}")
    assert (answer.status_code, answer.content_type) == (200, "application/msgpack")
    content = msgpack.unpackb(answer.get_data())
    iterations = np.frombuffer(content["iterations"], "<i8").tolist()
    return iterations, np.frombuffer(content["counts"], "<u4").reshape(-1, 64), content["damaged"]


def test_every_snapshot_has_a_row_of_counts(client):
    iterations, counts, damaged = told(client, 1)
    assert (iterations, damaged) == ([0, 1, 2], [])
    np.testing.assert_array_equal(counts, [made_runs.snapshot(i).histograms[1] for i in iterations])


def test_a_tied_tensor_has_the_histogram_of_its_owner(client):
    np.testing.assert_array_equal(told(client, 3)[1], told(client, 0)[1])


def test_of_many_snapshots_few_are_read_and_the_last_is_one_of_them(make_client, long_path, monkeypatch):
    monkeypatch.setattr("viewer.opened.MOST_SNAPSHOTS", 5)
    iterations, counts, _ = told(make_client(long_path), 1)
    assert iterations == [0, 4, 8, 10]
    np.testing.assert_array_equal(counts, [made_runs.snapshot(i).histograms[1] for i in iterations])


def test_a_model_of_very_many_tensors_has_fewer_columns(long_path, monkeypatch):
    """All tensors' counts of a snapshot are one chunk: what is read for one row is bounded in bytes."""
    monkeypatch.setattr(HistogramTables, "BYTES", 3 * len(made_runs.TENSORS) * 256)
    monkeypatch.setattr(histograms, "LEAST_SNAPSHOTS", 2)
    assert HistogramTables(open_run(long_path)).over_time("wte.weight")[0] == [0, 8, 10]
    monkeypatch.setattr(histograms, "LEAST_SNAPSHOTS", 16)
    assert len(HistogramTables(open_run(long_path)).over_time("wte.weight")[0]) == 11


def test_another_tensor_is_answered_from_what_was_read_before(long_path):
    run = open_run(long_path)
    tables = HistogramTables(run)
    tables.over_time("wte.weight")
    for path in long_path.glob("iterations/*/histograms/c.0.0"):
        path.unlink()
    iterations, counts, damaged = tables.over_time("h.0.fc.bias")
    assert (iterations, damaged) == (list(range(11)), [])
    np.testing.assert_array_equal(counts, [made_runs.snapshot(i).histograms[2] for i in iterations])


def test_a_damaged_snapshot_is_named_and_the_others_are_told(make_client, long_path):
    chunk = long_path / "iterations/00000004/histograms/c.0.0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    iterations, counts, damaged = told(make_client(long_path), 1)
    assert (iterations, damaged) == ([0, 1, 2, 3, 5, 6, 7, 8, 9, 10], [4])
    assert len(counts) == 10


@pytest.mark.parametrize(
    ("tensor", "status", "says"), [("4", 404, "complex"), ("99", 404, "99"), ("x", 400, "x")]
)
def test_what_has_no_histogram_is_refused_with_the_reason(client, run_url, tensor, status, says):
    answer = client.get(f"{run_url}/histograms/{tensor}")
    assert answer.status_code == status
    assert says in answer.json["error"]["message"]


def test_a_run_without_snapshots_has_an_empty_history():
    assert spread(np.array([], np.int64), 5).tolist() == []


@given(st.integers(1, 5000), st.integers(2, 600))
def test_a_longer_run_keeps_the_choice_of_a_shorter_one_or_halves_it(n, most):
    iterations = np.arange(n, dtype=np.int64) * 3
    chosen, before = (spread(iterations[:length], most).tolist() for length in (n, max(n - 1, 1)))
    assert len(chosen) <= most
    assert len(chosen) > most // 2 - 1 or chosen == iterations.tolist()
    assert (chosen[0], chosen[-1]) == (0, iterations[-1])
    assert set(chosen[:-1]) <= {*before, 3 * (n - 2)}
