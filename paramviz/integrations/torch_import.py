"""Doing something once torch is imported: not before, so that a script can still say how it is to start."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def when_torch_is_imported(action: Callable[[], None]) -> None:
    """Call `action`, which must not raise, when torch has been imported: now, if it has been already."""
    if "torch" in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Once(action))


class _Once(MetaPathFinder):
    """Finds torch where everybody finds it, and then is gone."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: object) -> None:
        """The loader runs the module as ever, then the action, and is as it was."""
        run = loader.exec_module  # type: ignore[attr-defined]

        def run_and_act(module: ModuleType) -> None:
            del loader.exec_module  # type: ignore[attr-defined]
            run(module)
            self._action()

        loader.exec_module = run_and_act  # type: ignore[attr-defined]
