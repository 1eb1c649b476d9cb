"""Recording a model on a GPU: nothing waits for it, and the numbers are those of the CPU.

Left out where torch sees no GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import paramviz
from paramviz.recorder import device_triton
from tests.recorder.models import gpt
from tests.recorder.test_device_kernels import check, needs_triton, tensors
from tests.recorder.test_device_path import a_model, assert_frames_are_alike, key_frame

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

STEPS = 10


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Whatever waits for the GPU is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def trained(path, device: str, **settings: object) -> nn.Module:
    """A small GPT after some steps, with everything recorded in every one of them unless settings differ."""
    torch.manual_seed(0)
    model = gpt(vocabulary=300, n_layer=4).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = torch.randint(300, (STEPS, 4, 17), generator=torch.Generator().manual_seed(0)).to(device)
    recorder = paramviz.Recorder(path, model, optimizer, schedule=1, **settings)
    for iteration in range(STEPS):
        optimizer.zero_grad()
        logits = model(batches[iteration, :, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batches[iteration, :, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recorder.step(iteration, loss=loss)
    recorder.close()
    assert recorder.report.lost == 0
    return model


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("key_every", [1, STEPS])
def test_training_never_waits_for_the_gpu(tmp_path, key_every):
    trained(
        tmp_path / "run",
        "cuda",
        key_every=key_every,
        quantities=paramviz.QUANTITIES,
        probe=torch.zeros(1, 8).long(),
    )
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.iterations) == STEPS


@pytest.mark.parametrize("with_triton", [True, False])
def test_a_frame_of_a_gpu_is_that_of_the_cpu(monkeypatch, with_triton):
    if not with_triton:
        monkeypatch.setattr(device_triton, "_is_for_kernels", lambda tensor: False)
    # Products in float32, not in the shorter floats that a GPU may take for them.
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    assert_frames_are_alike(key_frame(a_model()), key_frame(a_model().cuda()))


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("divisor", [None, 1024.0])
def test_the_kernels_find_on_a_gpu_what_the_host_finds(dtype, divisor):
    check([torch.from_numpy(x).to(dtype).cuda() for x in tensors()], divisor)
    assert device_triton._kernels.get() is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float8_e4m3fn, torch.int32])
def test_torch_finds_on_a_gpu_what_the_host_finds(dtype):
    generator = torch.Generator().manual_seed(9)
    check([(torch.randn(n, generator=generator) * 9).to(dtype).cuda() for n in (3, 700, 70_000)])
