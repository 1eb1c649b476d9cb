"""What a glance at a model must not miss, and that it misses nothing by looking at few things."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from paramviz.recorder.glance import Glance


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]),
        nn.BatchNorm1d(4),
        nn.LazyLinear(3),
    )


def add_a_module(model):
    model.add_module("late", nn.Linear(2, 2))


def rename_a_module(model):
    model._modules["other"] = model._modules.pop("2")


def remove_a_module(model):
    del model[2]


def unset_a_module(model):
    model._modules["2"] = None


def replace_a_parameter(model):
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def unset_a_parameter(model):
    model[0].bias = None


def rename_a_parameter(model):
    model[0]._parameters["b"] = model[0]._parameters.pop("bias")


def move_a_parameter(model):
    first, second = model[1]
    second._parameters["bias2"] = first._parameters.pop("bias")


def tie_two_parameters(model):
    model[1][1].weight = model[1][0].weight


def replace_the_dictionary(model):
    model[0].__dict__["_parameters"] = {"weight": nn.Parameter(torch.zeros(4, 3)), "bias": model[0].bias}


def freeze(model):
    model[0].weight.requires_grad_(False)


def grow_within(model):
    model[0].weight.data = torch.zeros(8, 3)


def change_the_dtype_within(model):
    model[0].weight.data = torch.zeros(4, 3, dtype=torch.float64)


def convert(model):
    model.double()


def fill_a_lazy_module(model):
    model[3](torch.zeros(1, 5))


def add_a_buffer(model):
    model[0].register_buffer("mask", torch.zeros(2))


def make_a_buffer_persistent(model):
    model[2]._non_persistent_buffers_set.add("running_mean")


def swap_in_another_type(model):
    model[0].bias.__class__ = type("Odd", (nn.Parameter,), {})


@pytest.mark.parametrize(
    "change",
    [
        add_a_module,
        rename_a_module,
        remove_a_module,
        unset_a_module,
        replace_a_parameter,
        unset_a_parameter,
        rename_a_parameter,
        move_a_parameter,
        tie_two_parameters,
        replace_the_dictionary,
        freeze,
        grow_within,
        change_the_dtype_within,
        convert,
        fill_a_lazy_module,
        add_a_buffer,
        make_a_buffer_persistent,
        swap_in_another_type,
    ],
)
def test_a_glance_notices(change):
    model = make_model()
    glance = Glance(model)
    assert glance.still_holds()
    change(model)
    assert not glance.still_holds()
    assert Glance(model).still_holds()


def test_training_is_no_change():
    model = make_model()
    model[3](torch.zeros(1, 5))
    glance = Glance(model)
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    model[2].running_mean.add_(1)
    model.eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.zeros(4, 3))
        model[0].weight.data = torch.ones(4, 3)  # other memory of the same kind is read where it lies then
    assert glance.still_holds()
