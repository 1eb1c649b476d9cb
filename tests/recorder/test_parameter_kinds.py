"""Each kind of tensor is recorded right, or left out with its reason; docs/PARAMETERS.md says which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.store import verify_run
from tests.recorder.gradient_checks import assert_gradients
from tests.recorder.parameter_kinds import KINDS, noise
from tests.recorder.parameters_page import COMMAND, PAGE, one_process, record, row, table, with_table
from tests.recorder.references import assert_moments


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """Lines of the table, as the tests make them."""
    return {}


@pytest.fixture(scope="module", autouse=True)
def group(tmp_path_factory):
    with one_process(tmp_path_factory.mktemp("group")):
        yield


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The real numbers that a tensor stands for."""
    tensor = tensor.detach()
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    if tensor.is_complex():
        return torch.stack([tensor.real, tensor.imag], dim=-1)
    return tensor.dequantize() if tensor.is_quantized else tensor.clone().double()


@pytest.mark.parametrize("kind", KINDS, ids=[kind.title.strip("`") for kind in KINDS])
def test_a_kind_of_tensor_is_recorded_right_or_left_out_with_its_reason(tmp_path, caplog, kind, rows):
    run, model = record(kind, tmp_path / "run")
    rows[kind.title] = row(kind, run)
    assert not caplog.records
    assert run.iterations.tolist() == [0, 1]
    assert verify_run(tmp_path / "run").problems == ()
    state = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    for tensor in run.tensors:
        if tensor.skipped is not None:
            with pytest.raises(paramviz.NotRecordedError, match=tensor.skipped.split("(")[0].strip()):
                run[1].values(tensor.name)
            continue
        whole = plain(state[tensor.name])
        expected = whole.numpy().reshape(-1)[run.positions(tensor.name)]
        values = run[1].values(tensor.name)
        with np.errstate(over="ignore"):
            # Through float32, as the samples come.
            np.testing.assert_array_equal(values, expected.astype(np.float32).astype(values.dtype))
        if whole.isfinite().all() and whole.numel():
            assert_moments(run[1].statistics(tensor.name), whole)


def test_the_page_says_what_the_tests_found(tmp_path, rows):
    for number, kind in enumerate(KINDS):
        # Others may have been recorded in another process.
        if kind.title not in rows:
            rows[kind.title] = row(kind, record(kind, tmp_path / str(number))[0])
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, table(rows)) == page, f"docs/PARAMETERS.md is old: run {COMMAND}"


def test_gradients_and_moments_of_a_complex_parameter_are_of_its_real_numbers(tmp_path):
    model = nn.Module()
    model.x = nn.Parameter(torch.complex(noise(6, 5), noise(6, 5) + 1))
    optimizer = torch.optim.AdamW([model.x], lr=0.1)
    with paramviz.Recorder(tmp_path / "run", model, optimizer, key_every=1) as recorder:
        for iteration in range(2):
            optimizer.zero_grad()
            (model.x * (2 + 1j)).abs().square().sum().backward()
            used = plain(model.x.grad)
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensor("x").shape == (6, 5, 2)
    assert_gradients(run, 1, {"x": used})
    np.testing.assert_allclose(run[1].gradient_values("x"), used.numpy().ravel(), rtol=2.0**-11)
    first = plain(optimizer.state[model.x]["exp_avg"]).double() / (1 - 0.9**2)
    second = plain(optimizer.state[model.x]["exp_avg_sq"]).double() / (1 - 0.999**2)
    found = run[1].statistics("x")
    assert found["moment1_norm"] == pytest.approx(float(torch.linalg.vector_norm(first)), rel=1e-5)
    assert found["moment2_rms"] == pytest.approx(float(second.mean().sqrt()), rel=1e-5)
