"""Checkpoints from strangers: refused by name, with nothing run and nothing written."""

from __future__ import annotations

import json
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from paramviz.errors import DamagedRunError, UnsafeRunError
from paramviz.integrations.checkpoints.importing import import_checkpoints
from tests.recorder.models import gpt


class _Payload:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def with_code(path):
    torch.save({"w": _Payload(path.parent / "pwned")}, path)


def expanded(path):
    """A tensor that claims a terabyte of one element."""
    torch.save({"w": torch.ones(1).expand(1 << 20, 1 << 18)}, path)


def cut_off(path):
    torch.save({"w": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-600])


def compressed(path):
    torch.save({"w": torch.zeros(100_000)}, path.with_suffix(".plain"))
    with (
        zipfile.ZipFile(path.with_suffix(".plain")) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))


def short_storage(path):
    """The file of a tensor's bytes is shorter than the tensor."""
    torch.save({"w": torch.zeros(100_000)}, path.with_suffix(".plain"))
    with zipfile.ZipFile(path.with_suffix(".plain")) as plain, zipfile.ZipFile(path, "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name)[: None if name.endswith(".pkl") else 100])


def deep_name(path):
    torch.save({".".join("a" * 5000): torch.ones(1)}, path)


def no_tensors(path):
    torch.save({"model": {"lr": 0.1}}, path)


def a_list(path):
    torch.save([torch.ones(2)], path)


def text(path):
    path.write_text("not a checkpoint")


def safetensors_with(header, data=b"\0" * 8):
    def write(path):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)

    return write


HOSTILE = {
    "a pickle with code": (
        "step_1.pt",
        lambda p: torch.save({"w": _Payload(p.parent / "pwned")}, p),
        UnsafeRunError,
    ),
    "a compressed zip": ("step_1.pt", compressed, UnsafeRunError),
    "a tensor that claims a terabyte": ("step_1.pt", expanded, DamagedRunError),
    "a file cut off": ("step_1.pt", cut_off, DamagedRunError),
    "a storage too short": ("step_1.pt", short_storage, DamagedRunError),
    "a name of 5,000 parts": ("step_1.pt", deep_name, DamagedRunError),
    "a dictionary without tensors": ("step_1.pt", no_tensors, DamagedRunError),
    "a list": ("step_1.pt", a_list, DamagedRunError),
    "a text": ("step_1.pt", text, DamagedRunError),
    "safetensors: a text": ("step_1.safetensors", text, DamagedRunError),
    "safetensors: a tensor longer than the file": (
        "step_1.safetensors",
        safetensors_with({"w": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}),
        DamagedRunError,
    ),
    "safetensors: a shape that is not the bytes": (
        "step_1.safetensors",
        safetensors_with({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}),
        DamagedRunError,
    ),
    "safetensors: no JSON": ("step_1.safetensors", safetensors_with(b"{{{{{{{{"), DamagedRunError),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_checkpoint_is_refused_before_anything_is_written(case, tmp_path):
    name, write, error = HOSTILE[case]
    (tmp_path / "series").mkdir()
    torch.save(gpt().state_dict(), tmp_path / "series" / "step_0.pt")
    write(tmp_path / "series" / name)
    with pytest.raises(error, match=re.escape(name)):
        import_checkpoints(tmp_path / "series", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "series" / "pwned").exists()


@pytest.mark.parametrize(
    "index",
    [
        b"[]",
        b"{",
        json.dumps({"weight_map": {"w": "../../secret"}}).encode(),
        json.dumps({"weight_map": {"w": ["model.safetensors"]}}).encode(),
        json.dumps({"weight_map": {"w": "model.safetensors", "v": "model.safetensors"}}).encode(),
    ],
)
def test_an_index_that_is_not_of_its_files_is_refused(index, tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(DamagedRunError, match="index"):
        import_checkpoints(tmp_path, tmp_path / "run")
