"""Places beyond this machine, as the tests of the store have them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import s3fs

from tests.store.servers import Counted, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[Counted]:
    """A server of its own for this module; its address and keys come from the environment, as a user's do."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.address)
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        # Moto keeps its buckets as long as the process lives, for every server in it.
        s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)
        yield server
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["s3", "memory"])
def place(request) -> str:
    """An address at which nothing is yet."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return f"s3://bucket/{uuid.uuid4().hex}/run"
    return f"memory://{uuid.uuid4().hex}/run"
