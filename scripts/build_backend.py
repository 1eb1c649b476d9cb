"""The build backend: setuptools, with the browser side built first.

usage: named in pyproject.toml; pip and build call its hooks (PEP 517 and PEP 660).

A wheel, an editable install and a source archive all carry the finished
viewer/static, so whoever installs from an archive needs no Node.js.
"""

from __future__ import annotations

from typing import Any

from setuptools import build_meta

import browser_side

Settings = dict[str, Any] | None

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable


def node_requirement() -> list[str]:
    """The wheel that brings Node.js, where a build is due and the system has none that will do."""
    if not browser_side.is_stale() or browser_side.system_node() is not None:
        return []
    return [browser_side.NODE_WHEEL]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *node_requirement()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *node_requirement()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_sdist(config_settings), *node_requirement()]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    browser_side.build()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    browser_side.build()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    browser_side.build()
    return build_meta.build_sdist(sdist_directory, config_settings)
