"""The embedding cloud over HTTP: the answers of docs/HTTP.md, and refusals that say what to ask instead."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest

from paramviz.store import open_run
from tests.store import cloud_runs, made_runs
from viewer import cloud


@pytest.fixture(scope="module")
def made_path(tmp_path_factory):
    return cloud_runs.make_run(tmp_path_factory.mktemp("cloud") / "run")


@pytest.fixture
def run(made_path):
    return open_run(made_path)


@pytest.fixture
def client(make_client, made_path):
    return make_client(made_path)


def test_trust_is_told_with_what_it_is_measured_by(client, run_url):
    told = client.get(f"{run_url}/trust/39?basis=40").json
    assert (told["iteration"], told["basis"]) == (32, 40)
    assert 0 < told["explained"] <= 1
    assert 0 < told["neighbours_kept"] <= 1
    assert told["queries"] == len(cloud_runs.NEIGHBOUR_TOKENS)
    assert (told["axes_above_noise"] > 0) == (told["largest"] > told["noise"])
    assert client.get(f"{run_url}/trust/40?basis=40").json["axes_above_noise"] == 3
    assert client.get(f"{run_url}/trust/0?basis=40").json["axes_above_noise"] == 0


def test_neighbours_of_every_recorded_token_are_those_of_brute_force(make_client, finished_path):
    client = make_client(finished_path)
    url = "/api/runs/" + client.get("/api/runs").json["runs"][0]["id"]
    rows = open_run(finished_path)[2].array("embedding_rows").astype(np.float64)
    for token in range(made_runs.N_TOKENS):
        told = client.get(f"{url}/neighbours/{token}?iteration=2").json
        apart = np.linalg.norm(rows - rows[token], axis=1)
        apart[token] = np.inf
        order = np.argsort(apart, kind="stable")[:10]
        assert told["source"] == "rows"
        assert told["iteration"] == 2
        assert told["tokens"] == order.tolist()
        np.testing.assert_allclose(told["distances"], apart[order], rtol=1e-6)


@pytest.mark.parametrize(
    ("query", "source", "at"),
    [
        ("0", "recorded", 40),
        ("0?iteration=20", "recorded", 16),
        ("3", "rows", 40),
        ("3?iteration=20", "sketch", 16),
    ],
)
def test_it_is_said_where_neighbours_come_from(client, run_url, query, source, at):
    told = client.get(f"{run_url}/neighbours/{query}").json
    assert (told["source"], told["iteration"]) == (source, at)
    assert len(told["tokens"]) == len(told["distances"]) == 10
    assert told["distances"] == sorted(told["distances"])


def test_trails_carry_a_path_for_each_token(client, run_url, run):
    response = client.get(f"{run_url}/trails?tokens=0,3")
    told = msgpack.unpackb(response.get_data())
    iterations = np.frombuffer(told["iterations"], "<i8")
    np.testing.assert_array_equal(iterations, run.iterations)
    coordinates = np.frombuffer(told["coordinates"], "<f4").reshape(2, -1, 3)
    assert coordinates.shape[1] == len(iterations)
    assert np.isfinite(coordinates).all()
    assert told["tokens"] == [0, 3]


def test_long_trails_are_thinned(client, run_url, run, monkeypatch):
    monkeypatch.setattr(cloud, "MOST_STEPS", 3)
    told = msgpack.unpackb(client.get(f"{run_url}/trails?tokens=0").get_data())
    iterations = np.frombuffer(told["iterations"], "<i8")
    assert len(iterations) == 3
    assert (iterations[0], iterations[-1]) == (run.iterations[0], run.iterations[-1])


def test_suggestions_are_those_whose_neighbours_changed(client, run_url):
    told = client.get(f"{run_url}/suggestions").json
    assert told["from"] < told["to"]
    assert len(told["tokens"]) == len(told["changes"]) <= told["compared"]
    assert all(0 < share <= 1 for share in told["changes"])
    same = client.get(f"{run_url}/suggestions?from={told['from']}&to={told['from']}").json
    assert same["tokens"] == []
    assert same["compared"] > 0


def test_the_projections_on_offer_are_listed(client, run_url):
    assert client.get(f"{run_url}/projections").json == {"projections": [{"name": "pca"}], "clusters": None}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("trails", 400, "0 tokens"),
        ("trails?tokens=" + ",".join("0" * 17), 400, "1 to 16"),
        ("trails?tokens=x", 400, "whole number"),
        ("trails?tokens=0&basis=999999", 404, "999999"),
        ("trails?tokens=9999999999", 404, "9999999999"),
        ("neighbours/x", 400, "whole number"),
        ("neighbours/12345", 404, "12345"),
        ("neighbours/0?iteration=-1", 400, "whole number"),
        ("suggestions?from=999999&to=0", 404, "999999"),
        ("suggestions?from=4&to=40", 404, "Iteration 4 "),
        ("trust/x", 400, "whole number"),
        ("trust/0?basis=999999", 404, "999999"),
    ],
)
def test_a_wrong_question_is_refused_with_the_reason(client, run_url, path, status, said):
    response = client.get(f"{run_url}/{path}")
    assert response.status_code == status
    assert said in response.json["error"]["message"]


def test_a_run_without_an_embedding_says_so(make_client, tmp_path):
    writer = made_runs.create(tmp_path / "run")
    writer.add_plan(
        made_runs.TENSORS, np.concatenate([np.arange(320), np.arange(20_000)]), np.arange(0, 200, 4)
    )
    writer.close("finished")
    client = make_client(tmp_path / "run")
    url = "/api/runs/" + client.get("/api/runs").json["runs"][0]["id"]
    assert client.get(f"{url}/projections").json["projections"] == []
    assert client.get(f"{url}/suggestions").json["tokens"] == []
    for path in ("trust/0", "neighbours/0", "trails?tokens=0"):
        assert client.get(f"{url}/{path}").status_code == 404
