"""Ranges of a file on a web server, checked to be the ranges that were asked for.

fsspec asks for a range and returns whatever comes: a server that knows no
ranges answers with the whole file, which would pass for its end.
"""

from __future__ import annotations

from typing import Any

from fsspec.asyn import sync

_OK, _PARTIAL, _FORBIDDEN, _NOT_FOUND, _GONE, _BEHIND_THE_END = 200, 206, 403, 404, 410, 416


def get_range(fs: Any, url: str, begin: int, end: int | None) -> bytes:
    """Bytes begin … end of `url` (to its last for None) by the session of an fsspec HTTPFileSystem."""
    data: bytes = sync(fs.loop, _get_range, fs, url, begin, end)
    return data


async def _get_range(fs: Any, url: str, begin: int, end: int | None) -> bytes:
    session = await fs.set_session()
    last = "" if end is None else end - 1
    # Compressed on the way, a range would be one of the compressed bytes.
    headers = {"Range": f"bytes={begin}-{last}", "Accept-Encoding": "identity"}
    async with session.get(fs.encode_url(url), headers=headers) as answer:
        if answer.status in (_NOT_FOUND, _GONE):
            raise FileNotFoundError(url)
        if answer.status == _FORBIDDEN:
            raise PermissionError(f"{url}: {answer.status} {answer.reason}")
        if answer.status == _BEHIND_THE_END:
            return b""
        answer.raise_for_status()
        if answer.status == _PARTIAL:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
                raise OSError(f"{url}: the server answered with another range than bytes {begin}-{last}")
            return await _at_most(answer, None if end is None else end - begin)
        return (await _at_most(answer, end))[begin:]


async def _at_most(answer: Any, most: int | None) -> bytes:
    """The first `most` bytes of an answer, whose server may never stop sending."""
    if most is None:
        whole: bytes = await answer.read()
        return whole
    data = bytearray()
    while len(data) < most and (part := await answer.content.read(most - len(data))):
        data += part
    return bytes(data)
