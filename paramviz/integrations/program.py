"""A Python program, run in this process as the interpreter itself would run it."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from paramviz.errors import UsageError


@dataclass(frozen=True, slots=True)
class Program:
    """A script by its path, or a module by its name, and the arguments for it.

    Raises UsageError if there is no such script.
    """

    target: str
    is_module: bool
    arguments: Sequence[str]

    def __post_init__(self) -> None:
        if not self.is_module and not Path(self.target).is_file():
            raise UsageError(f"{self.target}: there is no such script. Give the path of a Python file.")

    @property
    def name(self) -> str:
        """What to call it: the script's name without its suffix, or the module's."""
        return self.target if self.is_module else Path(self.target).stem

    def run(self) -> BaseException | None:
        """Run it as `__main__`, with `sys.argv` and `sys.path[0]` as Python sets them.

        Returns what ended it: None, or the exception that nobody caught, with a traceback that
        begins in the program.
        """
        try:
            main, code = self._module() if self.is_module else self._script()
            sys.modules["__main__"] = main
            exec(code, main.__dict__)
        except BaseException as error:
            return error.with_traceback(_beyond_this_file(error.__traceback__))
        return None

    def _script(self) -> tuple[ModuleType, CodeType]:
        # A link's own folder is not searched: Python looks beside the file that it leads to.
        self._prepare(str(Path(self.target).resolve().parent), self.target)
        path = os.path.abspath(self.target)
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        return _main(path, SourceFileLoader("__main__", path), None), code

    def _module(self) -> tuple[ModuleType, CodeType]:
        self._prepare(os.getcwd(), "-m")
        spec = _find(self.target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = _find(f"{self.target}.__main__")
        get_code = getattr(getattr(spec, "loader", None), "get_code", None)
        code = None if spec is None or get_code is None else get_code(spec.name)
        if spec is None or code is None:
            raise SystemExit(f"{sys.executable}: No module named {self.target}")
        sys.argv[0] = str(spec.origin)
        return _main(str(spec.origin), spec.loader, spec), code

    def _prepare(self, folder: str, first: str) -> None:
        if not sys.flags.safe_path:
            sys.path[:1] = [folder]
        sys.argv[:] = [first, *self.arguments]


def _main(path: str, loader: object, spec: ModuleSpec | None) -> ModuleType:
    main = ModuleType("__main__")
    vars(main).update(
        __builtins__=builtins,
        __file__=path,
        __cached__=None if spec is None else spec.cached,
        __loader__=loader,
        __package__=None if spec is None else spec.parent,
        __spec__=spec,
    )
    if sys.version_info < (3, 14):  # since then annotations are made when they are asked for
        main.__annotations__ = {}
    return main


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # A package on the way to it is missing, not something that the package itself imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None


def _beyond_this_file(traceback: TracebackType | None) -> TracebackType | None:
    """What a traceback says from the program on."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback
