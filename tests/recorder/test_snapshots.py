"""A snapshot holds the model's numbers: samples, statistics, histograms, of every kind of model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import paramviz
from tests.recorder.models import GPT, ConvNet, Recurrent, gpt, train_step
from tests.recorder.references import assert_moments


def copies(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict(keep_vars=True).items()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A GPT trained for 12 iterations, its run, and its weights after each iteration."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("runs") / "gpt"
    # Large enough that the token embedding and the MLP are sampled, not kept whole.
    model = gpt(vocabulary=300, n_embd=48, n_layer=3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    weights = []
    with paramviz.Recorder(path, model, optimizer, config={"lr": 1e-3}) as recorder:
        for iteration in range(12):
            loss = train_step(model, optimizer, iteration)
            weights.append(copies(model))
            recorder.step(iteration, loss=loss)
    return paramviz.open_run(path), weights


def test_values_are_the_float16_cast_of_the_parameter_at_their_positions(recorded):
    run, weights = recorded
    sampled = 0
    for iteration in (0, 5, 11):
        for tensor in run.tensors:
            whole = weights[iteration][tensor.name].numpy().ravel()
            expected = whole[run.positions(tensor.name)]
            values = run[iteration].values(tensor.name)
            if len(tensor.shape) == 1:
                assert values.dtype == np.float32
            else:
                assert values.dtype == np.float16
                expected = expected.astype(np.float16)
            np.testing.assert_array_equal(values, expected, err_msg=tensor.name)
            sampled += run.tensor(tensor.name).samples < whole.size
    assert sampled


def test_statistics_are_those_of_the_whole_tensor(recorded):
    run, weights = recorded
    for iteration in (0, 7):
        for tensor in run.tensors:
            assert_moments(run[iteration].statistics(tensor.name), weights[iteration][tensor.name])


def test_a_histogram_counts_every_element_of_the_whole_tensor(recorded):
    run, weights = recorded
    for tensor in run.tensors:
        counts, edges = run[3].histogram(tensor.name)
        expected, _ = np.histogram(weights[3][tensor.name].numpy().astype(np.float64), bins=edges)
        assert counts.sum() == run.tensor(tensor.name).size
        # numpy closes bins on the left everywhere; below zero ours are closed on the right.
        np.testing.assert_array_equal(counts, expected, err_msg=tensor.name)


def test_updates_compare_with_the_snapshot_before_and_with_the_first(recorded):
    """Of a tensor that is kept whole they are exact."""
    run, weights = recorded
    name = "transformer.wpe.weight"
    assert run.tensor(name).whole
    start, previous, before, now = (weights[i][name].numpy().astype(np.float64) for i in (0, 6, 7, 8))
    found = run[8].statistics(name)
    update = now - before

    def cosine(a, b):
        return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)

    assert found["update_norm"] == pytest.approx(np.linalg.norm(update), rel=1e-5)
    assert found["update_ratio"] == pytest.approx(np.linalg.norm(update) / np.linalg.norm(before), rel=1e-5)
    assert found["update_cosine"] == pytest.approx(cosine(update, before - previous), rel=1e-4)
    assert found["unchanged_share"] == pytest.approx(np.mean(update == 0))
    assert found["distance_from_start"] == pytest.approx(np.linalg.norm(now - start), rel=1e-5)
    assert found["cosine_to_start"] == pytest.approx(cosine(now, start), rel=1e-5)
    assert np.isnan(run[0].statistics(name)["update_norm"])
    assert np.isnan(run[1].statistics(name)["update_cosine"])


def test_a_tied_head_answers_from_the_token_embedding(recorded):
    run, _ = recorded
    head = next(tensor for tensor in run.tensors if tensor.name == "lm_head.weight")
    assert head.tied_to == "transformer.wte.weight"
    assert head.role == "head"
    assert head.samples == 0
    np.testing.assert_array_equal(run[4].values("lm_head.weight"), run[4].values("transformer.wte.weight"))


def test_the_names_of_nanogpt_have_their_roles_and_layers(recorded):
    run, _ = recorded
    placed = {tensor.name: (tensor.role, tensor.layer) for tensor in run.tensors}
    assert placed["transformer.wte.weight"] == ("token_embedding", None)
    assert placed["transformer.wpe.weight"] == ("position_embedding", None)
    assert placed["transformer.h.1.ln_1.weight"] == ("norm", 1)
    assert placed["transformer.h.1.attn.c_attn.weight"] == ("attention_qkv", 1)
    assert placed["transformer.h.2.attn.c_proj.weight"] == ("attention_projection", 2)
    assert placed["transformer.h.0.mlp.c_fc.weight"] == ("mlp_up", 0)
    assert placed["transformer.h.0.mlp.c_proj.weight"] == ("mlp_down", 0)
    assert placed["transformer.ln_f.weight"] == ("norm", None)


def test_a_run_says_what_made_it(recorded):
    run, _ = recorded
    description = run.description
    assert description["model"] == "GPT"
    assert description["parameters"] == sum(
        p.numel() for p in gpt(vocabulary=300, n_embd=48, n_layer=3).parameters()
    )
    assert description["config"] == {"lr": 1e-3}
    assert description["optimizers"][0]["class"] == "AdamW"
    assert description["versions"]["torch"] == torch.__version__


def test_a_convolutional_net_is_recorded_with_its_buffers(tmp_path):
    torch.manual_seed(1)
    model = ConvNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(6, 3, 10, 10), torch.arange(6) % 5
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    state = model.state_dict()
    assert [tensor.name for tensor in run.tensors] == list(state)
    for tensor in run.tensors:
        assert_moments(run[3].statistics(tensor.name), state[tensor.name])
    mean = run.tensor("features.1.running_mean")
    assert mean.role == "buffer"
    assert not mean.frozen
    assert run[3].gradient_statistics("features.1.running_mean") is None
    assert run[3].values("features.1.num_batches_tracked").tolist() == [4.0]


def test_a_recurrent_net_is_recorded(tmp_path):
    torch.manual_seed(2)
    model = Recurrent()
    optimizer = torch.optim.Adam(model.parameters())
    tokens = torch.arange(20).reshape(2, 10) % 11
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.zero_grad()
        F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensor("lstm.weight_hh_l0").role == "recurrent"
    for name, parameter in model.named_parameters():
        assert_moments(run[0].statistics(name), parameter)
        assert_moments(run[0].gradient_statistics(name), parameter.grad)


def test_a_transposed_view_is_recorded_as_it_is_indexed(tmp_path):
    """Positions are indices of the tensor as it is seen, whatever its strides."""
    model = nn.Module()
    model.weight = nn.Parameter(torch.randn(40, 300).t())
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    seen = model.weight.detach().numpy().reshape(-1)[run.positions("weight")]
    assert run.tensor("weight").samples < 12_000
    np.testing.assert_array_equal(run[0].values("weight"), seen.astype(np.float16))


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn, torch.int8, torch.bool]
)
def test_every_real_dtype_is_recorded(tmp_path, dtype):
    model = nn.Module()
    numbers = (torch.randn(30, 40, generator=torch.Generator().manual_seed(3)) * 4).to(dtype)
    model.register_buffer("x", numbers)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensor("x").dtype == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(run[0].values("x"), numbers.to(torch.float16).numpy().ravel())
    assert_moments(run[0].statistics("x"), numbers.float())


def test_what_float16_cannot_hold_is_counted(tmp_path):
    model = nn.Linear(20, 20, bias=False)
    with torch.no_grad():
        model.weight[0, :3] = torch.tensor([1e6, -1e-9, torch.nan])
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    found = run[0].statistics("weight")
    assert (found["n_overflow"], found["n_underflow"], found["n_nan"]) == (1, 1, 1)
    assert found["max"] == 1e6
    values = run[0].values("weight")
    assert np.isposinf(values[0])
    assert np.isnan(values[2])


def test_an_empty_tensor_leaves_the_others_in_place(tmp_path):
    model = nn.Module()
    model.empty = nn.Parameter(torch.zeros(0, 4))
    model.weight = nn.Parameter(torch.randn(20, 20))
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert len(run[0].values("empty")) == 0
    expected = model.weight.detach().numpy().ravel().astype(np.float16)
    np.testing.assert_array_equal(run[0].values("weight"), expected)


def test_a_model_of_one_thread_and_the_same_positions_is_comparable(tmp_path):
    """Two models of one architecture are sampled at the same elements, whatever wraps them."""
    for name, model in (("a", gpt(vocabulary=300)), ("b", nn.DataParallel(GPT(vocabulary=300)))):
        with paramviz.Recorder(tmp_path / name, model) as recorder:
            recorder.step(0)
    a, b = paramviz.open_run(tmp_path / "a"), paramviz.open_run(tmp_path / "b")
    assert [t.name for t in a.tensors] == [t.name for t in b.tensors]
    for tensor in a.tensors:
        np.testing.assert_array_equal(a.positions(tensor.name), b.positions(tensor.name))
