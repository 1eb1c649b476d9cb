"""What docs/HTTP.md promises, request by request, on real runs."""

from __future__ import annotations

import json
import shutil

import msgpack
import numpy as np
import pytest

from paramviz.store import open_run
from tests.store import frozen_runs, made_runs


def reject_bare_numbers(name):
    raise AssertionError(f"bare {name} in JSON")


def strict_json(response):
    """The JSON of an answer, refusing the numbers that browsers refuse."""
    return json.loads(response.get_data(), parse_constant=reject_bare_numbers)


def unpacked(response):
    assert response.status_code == 200, response.get_data()
    assert response.content_type == "application/msgpack"
    return msgpack.unpackb(response.get_data(), strict_map_key=False)


def error_of(response):
    return strict_json(response)["error"]


def damage(path, key):
    """Flip one byte in the middle of a file of a run."""
    file = path / key
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def test_runs_are_listed_with_what_a_page_needs_to_choose(client):
    listed = strict_json(client.get("/api/runs"))
    (run,) = listed["runs"]
    assert listed["version"]
    assert run["id"] == run["run_id"]
    assert (run["name"], run["status"], run["snapshots"], run["last_iteration"]) == ("run", "finished", 3, 2)
    assert run["error"] is None


def test_a_run_describes_itself(client, run_url, finished_path):
    run = open_run(finished_path)
    answer = strict_json(client.get(run_url))
    assert answer["iterations"] == [0, 1, 2]
    assert answer["statistics"] == list(run.statistic_keys)
    assert answer["gradient_statistics"] == list(run.gradient_keys)
    assert answer["plan"] == 0
    assert answer["description"] == run.description
    assert answer["scalar_names"] == ["loss", "strange"]
    assert answer["events"] == [{"iteration": 0, "kind": "validation", "text": "half way"}]
    assert answer["embedding"] == {
        "tensor": "wte.weight",
        "tokens": 40,
        "vocabulary_size": 40,
        "width": 8,
        "basis": 2,
        "has_vocabulary": True,
    }


def test_the_infinite_edges_of_the_histogram_travel_as_strings(client, run_url):
    edges = strict_json(client.get(run_url))["histogram_edges"]
    assert len(edges) == 65
    assert (edges[0], edges[32], edges[-1]) == ("-Infinity", 0.0, "Infinity")


def test_a_run_without_a_plan_has_none_to_show(make_client, tmp_path):
    """The page may come before the model: nothing is there, and nothing is invented."""
    writer = made_runs.RunWriter.create(tmp_path / "young", description={})
    client = make_client(tmp_path / "young")
    url = "/api/runs/" + writer.run_id
    answer = strict_json(client.get(url))
    assert (answer["plan"], answer["iterations"], answer["embedding"]) == (None, [], None)
    assert client.get(url + "/plans/0").status_code == 404
    writer.close("finished")


def test_a_plan_names_every_tensor_and_where_its_samples_lie(client, run_url):
    plan = strict_json(client.get(run_url + "/plans/0"))
    assert (plan["number"], plan["values"], plan["vectors"]) == (0, made_runs.N_VALUES, made_runs.N_VECTORS)
    assert plan["embedding_tokens"] == list(range(40))
    assert [t["name"] for t in plan["tensors"]] == [t.name for t in made_runs.TENSORS]
    assert plan["tensors"][1]["grid"] == [200, 100]
    grouping = [(t["row_groups"], t["column_groups"], t["transposed"]) for t in plan["tensors"]]
    assert grouping == [(t.row_groups, t.column_groups, t.transposed) for t in made_runs.TENSORS]
    assert plan["tensors"][3]["tied_to"] == "wte.weight"
    assert plan["tensors"][4]["skipped"] == "complex numbers"


def test_positions_are_little_endian_integers(client, run_url, finished_path):
    positions = unpacked(client.get(run_url + "/plans/0/positions"))
    plan = open_run(finished_path).plan
    np.testing.assert_array_equal(np.frombuffer(positions["values"], "<i8"), plan.positions)
    np.testing.assert_array_equal(np.frombuffer(positions["vectors"], "<i8"), plan.vector_positions)


def test_samples_that_do_not_change_are_sent_with_their_plan_and_in_no_frame(make_client, tmp_path):
    client = make_client(frozen_runs.make_run(tmp_path / "run"))
    url = "/api/runs/" + open_run(tmp_path / "run").run_id
    plan = strict_json(client.get(url + "/plans/0"))
    assert (plan["values"], plan["frozen_values"], plan["frozen_vectors"]) == (20_020, 20_000, 7)
    answer = client.get(url + "/plans/0/frozen")
    assert unpacked(answer) == {
        "values": frozen_runs.FROZEN.values.tobytes(),
        "vectors": frozen_runs.FROZEN.vectors.tobytes(),
    }
    assert "immutable" in answer.headers["Cache-Control"]
    frame = unpacked(client.get(url + "/frames/5"))
    assert frame["values"] == np.full(20, 5, np.float16).tobytes()
    assert client.get(url + "/plans/1/frozen").status_code == 404
    (tmp_path / "run/plans/0000/frozen_values/c.0").unlink()
    damaged = client.get(url + "/plans/0/frozen")
    assert damaged.status_code == 422
    assert strict_json(damaged)["error"]["key"] == "plans/0000/frozen_values/c.0"


def test_a_frame_carries_the_recorded_bytes(client, run_url):
    """NaN and infinity among the samples included, bit for bit."""
    frame = unpacked(client.get(run_url + "/frames/1?parts=values,vectors,statistics,histograms"))
    made = made_runs.snapshot(1)
    assert frame["values"] == made.values.tobytes()
    assert frame["vectors"] == made.vectors.tobytes()
    assert frame["statistics"] == made.statistics.tobytes()
    assert frame["histograms"] == made.histograms.tobytes()
    assert "gradient_statistics" not in frame
    assert "embedding" not in frame


def test_a_frame_says_what_belongs_to_its_iteration(client, run_url):
    frame = unpacked(client.get(run_url + "/frames/0"))
    assert (frame["iteration"], frame["plan"], frame["tier"]) == (0, 0, "key")
    assert frame["scalars"]["loss"] == 4.0
    assert np.isnan(frame["scalars"]["strange"])
    assert frame["events"] == [{"kind": "validation", "text": "half way"}]
    assert frame["gradient_state"] == {
        "default": "used",
        "exceptions": {"4": "unavailable"},
        "reason": "odd has no gradient",
    }
    assert "histograms" not in frame


def test_an_embedding_is_seen_from_the_basis_that_is_asked_for(client, run_url):
    seen = [
        unpacked(client.get(f"{run_url}/frames/1?parts=embedding&basis={basis}"))["embedding"]
        for basis in (0, 2)
    ]
    assert [embedding["basis"] for embedding in seen] == [0, 2]
    assert all(embedding["exact"] for embedding in seen)
    assert len(seen[0]["coordinates"]) == 40 * 3 * 4
    assert seen[0]["coordinates"] != seen[1]["coordinates"]
    rows = made_runs.snapshot(1).embedding_rows.astype(np.float64)
    np.testing.assert_allclose(
        np.frombuffer(seen[0]["magnitude"], "<f4"), np.linalg.norm(rows, axis=1), rtol=1e-6
    )


def test_a_part_that_was_not_recorded_is_nil(make_client, tmp_path):
    writer = made_runs.start(tmp_path / "run")
    made = made_runs.snapshot(0)
    made.gradient_statistics = None
    made.embedding_rows = made.embedding_scores = None
    writer.commit(made)
    client = make_client(tmp_path / "run")
    frame = unpacked(client.get(f"/api/runs/{writer.run_id}/frames/0"))
    assert frame["gradient_statistics"] is None
    assert frame["embedding"] is None
    writer.close("finished")


def test_a_frame_never_changes_and_says_so(client, run_url):
    first = client.get(run_url + "/frames/1?basis=0")
    assert first.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    again = client.get(run_url + "/frames/1?basis=0", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.get_data() == b""
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_frame_from_the_recommended_basis_must_be_asked_for_again(client, run_url):
    """Tomorrow another basis may be recommended; then the same address shows another picture."""
    assert client.get(run_url + "/frames/1").headers["Cache-Control"] == "private, no-cache"
    assert "immutable" in client.get(run_url + "/frames/1?parts=values").headers["Cache-Control"]


def test_other_contents_have_other_etags(client, run_url):
    queries = ("/0?basis=0", "/1?basis=0", "/1?basis=1", "/1?parts=values", "/1?parts=values,histograms")
    tags = [client.get(f"{run_url}/frames{query}").headers["ETag"] for query in queries]
    assert len(set(tags)) == len(tags)


def test_several_frames_come_in_one_answer_in_the_order_asked_for(client, run_url):
    frames = unpacked(client.get(run_url + "/frames?iterations=2,0&parts=values"))
    assert [frame["iteration"] for frame in frames] == [2, 0]
    assert frames[0]["values"] == made_runs.snapshot(2).values.tobytes()


def test_several_frames_are_cached_like_one(client, run_url):
    url = run_url + "/frames?iterations=2,0&parts=values"
    first = client.get(url)
    assert "immutable" in first.headers["Cache-Control"]
    assert client.get(url, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_a_missing_frame_among_several_says_so_in_its_place_and_is_not_cached(client, run_url):
    answer = client.get(run_url + "/frames?iterations=0,77&parts=values")
    present, missing = unpacked(answer)
    assert present["values"]
    assert missing["iteration"] == 77
    assert missing["error"]["kind"] == "absent"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_damage_is_told_with_the_file_and_never_as_zeros(make_client, finished_path, tmp_path):
    path = shutil.copytree(finished_path, tmp_path / "damaged")
    damage(path, "iterations/00000001/values/c.0")
    client = make_client(path)
    url = "/api/runs/" + open_run(path).run_id
    answer = client.get(url + "/frames/1?parts=values")
    assert answer.status_code == 422
    assert error_of(answer)["kind"] == "damaged"
    assert error_of(answer)["key"] == "iterations/00000001/values/c.0"
    assert str(tmp_path) not in error_of(answer)["message"]
    assert "no-store" in answer.headers["Cache-Control"]
    assert client.get(url + "/frames/0?parts=values").status_code == 200
    several = client.get(url + "/frames?iterations=0,1&parts=values")
    assert unpacked(several)[1]["error"]["kind"] == "damaged"
    assert "ETag" not in several.headers


def test_a_damaged_commit_record_hides_no_other_frame(make_client, finished_path, tmp_path):
    path = shutil.copytree(finished_path, tmp_path / "damaged")
    damage(path, "iterations/00000002/zarr.json")
    client = make_client(path)
    url = "/api/runs/" + open_run(path).run_id
    assert client.get(url).status_code == 200
    assert client.get(url + "/frames/2").status_code == 422
    assert client.get(url + "/frames/1").status_code == 200


def test_a_frame_committed_a_moment_ago_is_found(make_client, tmp_path):
    writer = made_runs.start(tmp_path / "run")
    client = make_client(tmp_path / "run")
    made_runs.write(writer, 0)
    assert client.get(f"/api/runs/{writer.run_id}/frames/0").status_code == 200
    writer.close("finished")


def test_scalars_hold_every_step(client, run_url):
    scalars = unpacked(client.get(run_url + "/scalars"))
    np.testing.assert_array_equal(np.frombuffer(scalars["loss"]["iterations"], "<i8"), [0, 1, 2])
    np.testing.assert_array_equal(np.frombuffer(scalars["loss"]["values"], "<f8"), [4.0, 2.0, 4 / 3])
    assert np.isnan(np.frombuffer(scalars["strange"]["values"], "<f8")).all()


@pytest.mark.parametrize("of", ["statistics", "gradient_statistics"])
def test_a_timeline_has_one_value_for_each_snapshot(client, run_url, of):
    timeline = unpacked(client.get(f"{run_url}/timeline/1/std?of={of}"))
    expected = [getattr(made_runs.snapshot(i), of)[1, 1] for i in range(3)]
    np.testing.assert_array_equal(np.frombuffer(timeline["iterations"], "<i8"), [0, 1, 2])
    np.testing.assert_array_equal(np.frombuffer(timeline["values"], "<f8").astype(np.float32), expected)


def test_a_tied_tensor_answers_from_its_owner(client, run_url):
    owner, tied = (client.get(f"{run_url}/timeline/{index}/mean").get_data() for index in (0, 3))
    assert owner == tied


def test_the_vocabulary_is_a_list_of_strings(client, run_url):
    assert strict_json(client.get(run_url + "/vocabulary"))[:3] == ["a", "b", "c"]


def test_without_a_vocabulary_there_is_a_404(make_client, tmp_path):
    writer = made_runs.RunWriter.create(tmp_path / "run", description={})
    writer.close("finished")
    answer = make_client(tmp_path / "run").get(f"/api/runs/{writer.run_id}/vocabulary")
    assert answer.status_code == 404
    assert error_of(answer)["kind"] == "absent"


@pytest.mark.parametrize(
    ("address", "status", "kind"),
    [
        ("/api/runs/nobody", 404, "absent"),
        ("/api/nowhere", 404, "absent"),
        ("/api/", 404, "absent"),
        ("RUN/frames/77", 404, "absent"),
        ("RUN/frames/-1", 400, "usage"),
        ("RUN/frames/1e3", 400, "usage"),
        ("RUN/frames/٣", 400, "usage"),
        ("RUN/frames/" + "9" * 30, 400, "usage"),
        ("RUN/frames/999999999999999999", 404, "absent"),
        ("RUN/frames/1?parts=weights", 400, "usage"),
        ("RUN/frames/1?basis=x", 400, "usage"),
        ("RUN/frames/1?basis=77", 404, "absent"),
        ("RUN/frames", 400, "usage"),
        ("RUN/frames?iterations=" + ",".join(["0"] * 17), 400, "usage"),
        ("RUN/plans/1", 404, "absent"),
        ("RUN/plans/x", 400, "usage"),
        ("RUN/plans/7/positions", 404, "absent"),
        ("RUN/timeline/0/beauty", 404, "absent"),
        ("RUN/timeline/99/mean", 404, "absent"),
        ("RUN/timeline/wte/mean", 400, "usage"),
        ("RUN/timeline/0/mean?of=weights", 400, "usage"),
        ("/api/tail", 400, "usage"),
        ("/api/poll?runs=nobody", 404, "absent"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client, run_url, address, status, kind):
    answer = client.get(address.replace("RUN", run_url))
    assert (answer.status_code, error_of(answer)["kind"]) == (status, kind)
    assert error_of(answer)["message"].endswith(".")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_the_interface_only_reads(client, run_url, method):
    answer = getattr(client, method)(run_url)
    assert answer.status_code == 405
    assert error_of(answer)["kind"] == "usage"
    assert "GET" in answer.headers["Allow"]


def test_a_defect_is_answered_without_a_traceback(make_client, finished_path, tmp_path, caplog):
    """A file that vanished under the server's feet in a way that nobody foresaw."""
    client = make_client(finished_path)

    def fail() -> None:
        raise ZeroDivisionError("secret detail")

    client.application.add_url_rule("/api/defect", view_func=fail)
    answer = client.get("/api/defect")
    assert answer.status_code == 500
    assert error_of(answer)["kind"] == "internal"
    assert b"secret" not in answer.get_data()
    assert "secret detail" in caplog.text


def test_poll_tells_what_a_stream_would(make_client, tmp_path):
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    client = make_client(tmp_path / "run")
    cursor = strict_json(client.get(f"/api/runs/{writer.run_id}"))["cursor"]
    query = f"/api/poll?runs={writer.run_id}&cursors="
    assert strict_json(client.get(query + cursor)) == {"updates": [], "problems": []}
    made_runs.write(writer, 1)
    (update,) = strict_json(client.get(query + cursor))["updates"]
    assert update["iterations"] == [1]
    assert update["scalars"] == [[1, {"loss": 2.0, "strange": "NaN"}]]
    assert update["committed_unix_s"] > 0
    assert strict_json(client.get(query + update["cursor"])) == {"updates": [], "problems": []}
    writer.close("finished")
    (ended,) = strict_json(client.get(query + update["cursor"]))["updates"]
    assert (ended["status"], ended["iterations"]) == ("finished", [])


@pytest.mark.parametrize("cursor", ["1.2", "1.2.3.x", "-1.0.0.r", "a", "1.2.3.r,4.5.6.r"])
def test_a_malformed_cursor_is_refused(client, run_url, cursor):
    run_id = run_url.rpartition("/")[2]
    answer = client.get(f"/api/poll?runs={run_id}&cursors={cursor}")
    assert (answer.status_code, error_of(answer)["kind"]) == (400, "usage")
