"""Imports go down only: each room imports from its own floor's rooms below, never up or sideways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FOUNDATION = {"paramviz.errors", "paramviz.schema"}
PURE = {
    "paramviz.sampling",
    "paramviz.statistics",
    "paramviz.schedule",
    "paramviz.catalogue",
    "paramviz.places",
    "paramviz.stacks",
    "paramviz.scaled",
    "paramviz.quantities",
}
STORE = {"paramviz.store"}

ALLOWED: dict[str, set[str]] = {
    # floor 1
    "paramviz.errors": set(),
    "paramviz.schema": {"paramviz.errors"},
    # floor 2
    **{room: FOUNDATION for room in PURE},
    # floor 3
    "paramviz.store": FOUNDATION | PURE,
    # floor 4: the two never import each other
    "paramviz.recorder": FOUNDATION | PURE | STORE,
    "paramviz.analysis": FOUNDATION | PURE | STORE,
    # floor 5
    "viewer": FOUNDATION | STORE | {"paramviz.analysis"},
    # floor 6
    "paramviz.cli": FOUNDATION
    | PURE
    | STORE
    | {"paramviz.recorder", "paramviz.analysis", "paramviz.integrations", "viewer"},
    "paramviz.integrations": FOUNDATION | PURE | STORE | {"paramviz.recorder", "paramviz.analysis", "viewer"},
}
"""Which rooms each room may import, beside itself."""

EVERYWHERE = {"paramviz"}
"""The package's own face: it has the version, and what it offers is imported lazily."""

FACES = {"paramviz", "paramviz.__main__"}
"""Modules that stand above all floors."""

TORCH_ROOMS = {"paramviz.recorder", "paramviz.integrations"}


def modules() -> dict[str, Path]:
    """Dotted name → file, of all Python modules of the project."""
    found = {}
    for package in ("paramviz", "viewer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if relative.parts[:2] in (("viewer", "web"), ("viewer", "static")):
                continue
            parts = list(relative.with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of whatever a module imports, wherever in it; `from a import b` gives a.b."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - (node.level - 1)] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{source}.{alias.name}", node.lineno


def room_of(name: str) -> str | None:
    """The room that a dotted name belongs to, None if it is of no room of ours."""
    candidates = [room for room in ALLOWED if name == room or name.startswith(room + ".")]
    return max(candidates, key=len) if candidates else None


MODULES = modules()
ROOMS = sorted({room for name in MODULES if (room := room_of(name))})


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_the_floors_below(room):
    climbing = []
    for name, path in MODULES.items():
        if room_of(name) != room:
            continue
        for imported, line in imports(name, path):
            target = room_of(imported)
            if target is None:
                stray = imported.split(".")[0] in ("paramviz", "viewer")
                if stray and imported.rpartition(".")[0] not in EVERYWHERE:
                    climbing.append(
                        f"{path.relative_to(ROOT)}:{line} imports {imported}, which is in no room"
                    )
            elif target != room and target not in ALLOWED[room]:
                climbing.append(f"{path.relative_to(ROOT)}:{line} imports {imported}, of the room {target}")
    assert not climbing, "\n".join(climbing)


def test_every_module_lies_in_a_room():
    homeless = [name for name in MODULES if room_of(name) is None and name not in FACES]
    assert not homeless, f"Not in any room of the table in {__file__}: {homeless}"


def test_only_the_recorder_and_the_integrations_name_torch():
    guilty = [
        f"{path.relative_to(ROOT)}:{line}"
        for name, path in MODULES.items()
        if room_of(name) not in TORCH_ROOMS
        for imported, line in imports(name, path)
        if imported.split(".")[0] == "torch"
    ]
    assert not guilty, f"torch is imported outside of {sorted(TORCH_ROOMS)}: {guilty}"


def test_every_room_of_the_table_exists():
    """A renamed room must be renamed in the table too, or its rule would guard nothing."""
    missing = [room for room in ALLOWED if room not in ROOMS]
    assert not missing


def test_relative_and_nested_imports_are_seen():
    """The guard itself: what it reads from a file that breaks every rule."""
    path = ROOT / "paramviz" / "store" / "reader.py"
    source = "def f():\n    from ..recorder import hooks\nimport torch.nn\nfrom . import layout\n"
    tree_path = _Source(path, source)
    seen = {imported for imported, _ in imports("paramviz.store.reader", tree_path)}
    assert seen == {"paramviz.recorder.hooks", "torch.nn", "paramviz.store.layout"}


class _Source:
    """A path with other content than the file's."""

    def __init__(self, path: Path, content: str) -> None:
        self.name = path.name
        self._content = content

    def read_text(self, encoding: str) -> str:
        return self._content
