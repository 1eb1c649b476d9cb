"""Where the demonstration's runs go, and which are compared."""

from __future__ import annotations

from train_demo import runs


def test_the_first_run_is_number_one(tmp_path):
    assert runs.next_run(tmp_path / "absent").name == "demo-1"


def test_a_run_never_takes_the_place_of_another(tmp_path):
    """Numbers are compared as numbers, and a gap is not filled."""
    for name in ("demo-2", "demo-10", "demo-10-checkpoints", "demo-x", "notes"):
        (tmp_path / name).mkdir()
    assert runs.next_run(tmp_path).name == "demo-11"


def test_checkpoints_lie_beside_the_run(tmp_path):
    assert runs.checkpoints_of(tmp_path / "demo-3") == tmp_path / "demo-3-checkpoints"


def test_what_cannot_be_opened_is_not_offered(tmp_path):
    (tmp_path / "demo-1").mkdir()
    new = tmp_path / "demo-2"
    new.mkdir()
    assert runs.runs_to_compare(new) == [new]
