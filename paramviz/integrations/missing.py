"""What to say when the library that an integration is for is not installed."""

from __future__ import annotations

from paramviz.errors import MissingExtraError


def missing(library: str, extra: str, error: ModuleNotFoundError) -> MissingExtraError:
    """The error to raise from `error`; of another library's absence it tells the name as well."""
    what = library if error.name is None or error.name.partition(".")[0] == library else error.name
    return MissingExtraError(
        f"Recording with {library} needs {what}, which is not installed: pip install 'paramviz[{extra}]'.",
        extra=extra,
    )
