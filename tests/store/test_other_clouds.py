"""`gs://` and `az://` against emulators on loopback, where these are installed.

    pip install gcsfs gcp-storage-emulator
    pip install adlfs, and npm install azurite (186 MB) with `azurite-blob` on the PATH

They are too heavy for everybody's set-up, so without them these tests are skipped, and say so. docs/REMOTE.md
says what was tested with them.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, NotARunError, RunExistsError, RunLockedError
from paramviz.store import RunWriter, open_run, unpack_run, verify_run
from paramviz.store.remote import RemotePlace
from tests.store import made_runs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What every Azurite knows, by its documentation."""

PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        # Else it asks Google by gRPC what kind of bucket it is, which no emulator answers.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        gcsfs = pytest.importorskip("gcsfs", reason="gs:// is not tested: gcsfs is not installed")
        emulator = pytest.importorskip(
            "gcp_storage_emulator.server", reason="gs:// is not tested: gcp-storage-emulator is not installed"
        )
        import fsspec

        port = free_port()
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        for scheme in ("gs", "gcs"):
            patch.setitem(fsspec.config.conf, scheme, {"token": "anon", "project": "tests"})
        server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
        server.start()
        gcsfs.GCSFileSystem.clear_instance_cache()
        yield "gs://bucket"
        server.stop()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("adlfs", reason="az:// is not tested: adlfs is not installed")
    command = shutil.which("azurite-blob")
    if command is None:
        pytest.skip("az:// is not tested: azurite-blob is not on the PATH")
    import fsspec

    port, folder = free_port(), tmp_path_factory.mktemp("azurite")
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent"]
    process = subprocess.Popen(
        [command, *arguments, "--skipApiVersionCheck", "--disableTelemetry"], stdout=subprocess.DEVNULL
    )
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not is_listening(port):
            assert time.monotonic() < deadline, "Azurite does not begin to listen"
            time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(fsspec.config.conf, "az", {"connection_string": connection})
            fsspec.filesystem("az").mkdir("bucket")
            yield "az://bucket"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["google", "azure"])
def cloud(request: pytest.FixtureRequest) -> str:
    """An address at which nothing is yet."""
    return f"{request.getfixturevalue(request.param)}/{uuid.uuid4().hex}/run"


def test_a_run_is_recorded_read_resumed_and_copied(cloud: str, tmp_path: Path):
    with pytest.raises(NotARunError):
        open_run(cloud)
    writer = made_runs.start(cloud)
    run = open_run(cloud)
    made_runs.write(writer, 0)
    assert run.refresh().tolist() == [0]
    assert run.status == "recording"
    with pytest.raises(RunLockedError):
        RunWriter.resume(cloud)
    writer.close("finished")
    with pytest.raises(RunExistsError):
        made_runs.start(cloud)
    writer = RunWriter.resume(cloud)
    made_runs.write(writer, 1)
    writer.close("finished")
    run.refresh()
    assert (run.iterations.tolist(), run.status) == ([0, 1], "finished")
    for iteration in (0, 1):
        made_runs.assert_same_snapshot(run[iteration], iteration)
    assert run[1].values("wte.weight").tobytes() == made_runs.snapshot(1).values[:320].tobytes()
    assert verify_run(cloud).problems == ()
    made_runs.assert_same_snapshot(open_run(unpack_run(cloud, tmp_path / "copy"))[1], 1)


def test_an_object_that_must_be_new_is_made_by_exactly_one(cloud: str):
    """One after another at gs://, since its emulator itself looks first and then writes."""
    place = RemotePlace(cloud)
    for attempt in range(5):
        with ThreadPoolExecutor(1 if cloud.startswith("gs:") else 6) as threads:
            made = list(threads.map(lambda i, n=attempt: place.put_new(f"new-{n}", bytes([i])), range(6)))
        assert sum(made) == 1
        assert place.get(f"new-{attempt}") == bytes([made.index(True)])


def test_damage_and_what_is_missing_are_told_apart_from_a_place_that_is_away(cloud: str):
    made_runs.make_run(cloud, 2)
    place = RemotePlace(cloud)
    place.remove("iterations/00000001/values/c.0")
    with pytest.raises(DamagedRunError, match="is missing"):
        open_run(cloud)[1].array("values")
    assert place.size("nothing") is None
    assert place.names("nothing") == []
    assert sorted(place.names("iterations")) == ["00000000", "00000001", "zarr.json"]
    assert place.get("zarr.json", 10**6, 5) == b""
