"""The page's own files."""

from __future__ import annotations

import pytest


def get(client, address):
    """An answer read to its end, so that the file behind it is closed."""
    return client.get(address, buffered=True)


@pytest.fixture
def static(tmp_path):
    """A page as the build leaves it."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets" / "index-5f3a.js").write_text("export {};")
    return folder


def test_the_page_is_served_and_asked_for_anew_each_time(client, static):
    answer = get(client, "/")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert b"<title>page</title>" in answer.get_data()


def test_hashed_assets_are_kept_for_ever(client, static):
    answer = get(client, "/assets/index-5f3a.js")
    assert answer.mimetype == "text/javascript"
    assert "immutable" in answer.headers["Cache-Control"]
    assert get(client, "/icon.svg").headers["Cache-Control"] == "no-cache"


def test_a_missing_file_is_a_plain_404(client, static):
    answer = get(client, "/assets/other.js")
    assert (answer.status_code, answer.mimetype) == (404, "text/plain")


def test_a_page_that_was_not_built_says_how_to_build_it(client):
    answer = get(client, "/")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert b"./scripts/setup" in answer.get_data()
    assert b"<script" not in answer.get_data()
