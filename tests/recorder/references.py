"""Plain float64 references that recorded numbers are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch


def moments(tensor: torch.Tensor) -> dict[str, float]:
    """Statistics of a finite tensor, straight from their definitions."""
    x = tensor.detach().to(torch.float64).numpy().ravel()
    central = x - x.mean()
    variance = np.mean(central**2)
    nothing = x.size < 2 or variance == 0
    return {
        "mean": x.mean(),
        "std": x.std(ddof=1) if x.size > 1 else 0.0,
        "min": x.min(),
        "max": x.max(),
        "rms": np.sqrt(np.mean(x**2)),
        "l2_norm": np.sqrt(np.sum(x**2)),
        "absmax": np.abs(x).max(),
        "sparsity": np.mean(np.abs(x) < 1e-6),
        "skewness": np.nan if nothing else np.mean(central**3) / variance**1.5,
        "kurtosis": np.nan if nothing else np.mean(central**4) / variance**2 - 3,
        "n_nan": 0.0,
        "n_inf": 0.0,
        "n_overflow": np.count_nonzero(np.abs(x) >= 65520),
        "n_underflow": np.count_nonzero((np.abs(x) <= 2.0**-25) & (x != 0)),
    }


def assert_moments(found: Mapping[str, float] | None, tensor: torch.Tensor) -> None:
    """`found` are the statistics of `tensor`, to the precision of the float32 that holds them."""
    assert found is not None
    expected = moments(tensor)
    scale = expected["absmax"]
    for key, value in expected.items():
        # A mean or a skewness near zero is a difference of large numbers: compared on the tensor's own scale.
        slack = {"mean": 1e-6 * scale, "skewness": 1e-4, "kurtosis": 1e-4}.get(key, 0.0)
        np.testing.assert_allclose(found[key], value, rtol=2e-6, atol=slack, err_msg=key)
