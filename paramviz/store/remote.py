"""Places beyond this machine: object stores and web servers, through fsspec.

Only this module knows what fsspec and its parts raise. What comes out is
FileNotFoundError for a key that is not there, and UnreachableError for
everything that is no fault of the run.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from paramviz.errors import MissingExtraError, UnreachableError, UsageError

Answer = TypeVar("Answer")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "memory": "fsspec",
}
"""Schemes that are opened, and the package that each needs beside fsspec. A stranger's
address must not lead to a scheme that reads this machine's files or runs a shell."""

_EMPTY = "InvalidRange"
"""What S3 says of any range of an object without bytes, and Azure of one behind the end."""

WEB_SCHEMES = ("http", "https")


def is_address(path: object) -> bool:
    """Whether `path` is an address such as `s3://bucket/run` rather than a path on this machine."""
    return isinstance(path, str) and _ADDRESS.match(path) is not None


class RemotePlace:
    """A run's root in a store beyond this machine. Keys are relative to it.

    Settings (endpoint, region, credentials, anonymous access) are fsspec's:
    the environment and `~/.config/fsspec`.
    """

    def __init__(self, address: str) -> None:
        """Raises UsageError for an address that is not taken, MissingExtraError for a missing package."""
        self.address = address.rstrip("/")
        scheme = _ADDRESS.match(address)
        self.scheme = scheme.group(1).lower() if scheme else ""
        if self.scheme not in _PACKAGES or "::" in address or "?" in address:
            raise UsageError(
                f"{address}: is no address that can be opened; known are {', '.join(_PACKAGES)}, without "
                "'::' and '?'."
            )
        self._fs, self._root = self._connect()
        self._reached = False

    @property
    def writable(self) -> bool:
        return self.scheme not in WEB_SCHEMES

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes under `key` from `start`, at most `length`; b"" from the end on. One request."""
        if length == 0:
            return b""
        # A range that begins behind the end is an error in some stores: begin with a byte that is known.
        begin = max(0, start - 1)
        end = None if length is None else start + length
        data = self._ask(key, lambda path: self._cat(path, begin, end))
        self._reached = True
        return data[start - begin :]

    def size(self, key: str) -> int | None:
        """Bytes under `key`, None if there are none. One request."""
        try:
            size: int | None = self._ask(key, lambda path: self._fs.info(path)["size"])
        except FileNotFoundError:
            return None
        return size

    def names(self, key: str) -> list[str]:
        """Names directly below `key`; a web server has no lists."""
        if self.scheme in WEB_SCHEMES:
            return []
        try:
            found = self._ask(key, lambda path: self._fs.ls(path, detail=False))
        except FileNotFoundError:
            return []
        return [str(name).rstrip("/").rpartition("/")[2] for name in found]

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        """Names directly below `key` from `first` on, ascending, at most `most`. One request at most.

        A store that can only list from the beginning answers with none.
        """
        list_from = {"s3": self._list_s3, "s3a": self._list_s3, "gs": self._list_gs, "gcs": self._list_gs}
        if self.scheme == "memory":
            return sorted(name for name in self.names(key) if name >= first)[:most]
        if self.scheme not in list_from:
            return []
        try:
            folders = self._ask(key, lambda path: list_from[self.scheme](f"{path}/", first, most))
        except FileNotFoundError:
            return []
        names = sorted(folder.rstrip("/").rpartition("/")[2] for folder in folders)
        # A store that does not know where to begin has told of its first ones: none of these is new.
        return [name for name in names if name >= first]

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write whole objects, several at a time. OSError if any is not there afterwards."""
        self._change(lambda: self._fs.pipe({self._path(key): data for key, data in files.items()}))

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; False if it is. Exclusive where the store can do that."""
        path = self._path(key)
        if self.size(key) is not None:
            return False
        try:
            self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            # It may be ours all the same: the answer to a first try got lost, and it was tried again.
            with contextlib.suppress(FileNotFoundError):
                return self.get(key) == data
            return False
        except Exception as error:
            if self.size(key) is not None:
                return False
            raise _as_os_error(error) from error
        return True

    def remove(self, key: str) -> None:
        """Remove an object, or everything below a key; fine if nothing is there."""
        try:
            self._fs.rm(self._path(key), recursive=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise _as_os_error(error) from error

    def _connect(self) -> tuple[Any, str]:
        package = _PACKAGES[self.scheme]
        try:
            import fsspec

            fs, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            also = "" if package in ("s3fs", "aiohttp", "fsspec") else f" {package}"
            raise MissingExtraError(
                f"{self.address}: to open it needs {package}, which is not installed: "
                f"pip install 'paramviz[remote]'{also}.",
                extra="remote",
            ) from error
        except Exception as error:
            raise self._unreachable(error) from error
        return fs, str(root).rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _cat(self, path: str, begin: int, end: int | None) -> bytes:
        if self.scheme in WEB_SCHEMES:
            from paramviz.store.web import get_range

            return get_range(self._fs, path, begin, end)
        try:
            data: bytes = self._fs.cat_file(path, start=begin, end=end)
        except Exception as error:
            if _error_code(error) == _EMPTY:
                return b""
            raise
        return data

    def _ask(self, key: str, request: Callable[[str], Answer]) -> Answer:
        try:
            return request(self._path(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(f"{self.address} holds no {key}") from error
        except PermissionError as error:
            # Who may not list a bucket is told "forbidden" for keys that are not there.
            if self._reached:
                raise FileNotFoundError(f"{self.address} holds no {key} that may be read") from error
            raise self._unreachable(error) from error
        except Exception as error:
            raise self._unreachable(error) from error

    def _list_s3(self, folder: str, first: str, most: int) -> list[str]:
        bucket, prefix, _ = self._fs.split_path(folder)
        # What is below a folder sorts behind its bare name, so the folder `first` is among the answer.
        answer = self._fs.call_s3(
            "list_objects_v2",
            Bucket=bucket,
            Prefix=prefix,
            Delimiter="/",
            StartAfter=prefix + first,
            MaxKeys=most,
        )
        return [found["Prefix"] for found in answer.get("CommonPrefixes", [])]

    def _list_gs(self, folder: str, first: str, most: int) -> list[str]:
        bucket, prefix, _ = self._fs.split_path(folder)
        answer = self._fs.call(
            "GET",
            "b/{}/o",
            bucket,
            delimiter="/",
            prefix=prefix,
            startOffset=prefix + first,
            maxResults=most,
            json_out=True,
        )
        return list(answer.get("prefixes", []))

    def _change(self, request: Callable[[], object]) -> None:
        try:
            request()
        except Exception as error:
            raise _as_os_error(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        # Some servers add whole pages to what they say.
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return UnreachableError(
            f"{self.address}: cannot be reached ({said}). Check the address, the "
            "network and the credentials; docs/REMOTE.md says where these come from.",
            path=self.address,
        )


def _error_code(error: Exception) -> str | None:
    """What a server calls an error: one of S3 that s3fs translated, or one of Azure as it is."""
    response = getattr(error.__cause__, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code"))
    code = getattr(error, "error_code", None)
    return None if code is None else str(getattr(code, "value", code))


def _as_os_error(error: Exception) -> OSError:
    """What the recorder expects of a disk: an error that it may try again after."""
    return error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}")
