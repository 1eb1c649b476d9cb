"""The largest singular value of whole matrices, from key snapshot to key snapshot.

A few vectors follow the leading right singular space of each matrix; from one key snapshot
to the next it hardly turns. The matrix is read a few times: each reading adds a block to a
Krylov space that begins with these vectors and some random ones (for directions that are
new), and what is recorded is the largest Ritz value of XᵀX in that space. It is never above
the true one, and within a percent of it even for matrices of noise, whose leading values lie
close together. Source: Golub and Van Loan, Matrix Computations, section 10.3 (block Lanczos).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import views
from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.transfers import Transfers

KEPT, FRESH = 12, 4
"""Vectors in a block that are known, and random ones."""

FIRST_DEPTH, DEPTH = 6, 2
"""Blocks that are added to the first one; each takes a reading of the matrix."""

EXACT = 64
"""Where a matrix has no more columns (or rows), the space is the whole one. The eigenvalues of
larger ones would wake the threads of OpenBLAS, see `products`."""

CHUNK = 1 << 20
"""Elements made wide at a time."""


class SingularValues:
    """Keeps the vectors of each tensor, by its name; they are few beside the tensor itself."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._vectors: dict[str, torch.Tensor] = {}

    def measure(self, plan: ModelPlan, out: npt.NDArray[np.float64], transfers: Transfers) -> None:
        """sigma_max of every matrix of a plan into its row of out, (tensors,), once `transfers` is finished.

        NaN if an element is not finite.
        """
        alike: dict[tuple[object, ...], list[int]] = {}
        for index in plan.places.spectra.places:
            tensor, shape = plan.source_of[index].tensor, plan.tensors[index].matrix_shape
            if min(shape) <= EXACT and plan.tensors[index].size <= CHUNK:
                alike.setdefault((shape, tensor.dtype, tensor.device), []).append(index)
                continue
            sigma = self.largest(plan.tensors[index].name, tensor)
            if views.is_on_host(sigma):
                out[index] = float(sigma)
            else:
                transfers.add(sigma, out[index : index + 1])
        for indices in alike.values():
            step = max(1, CHUNK // max(1, plan.tensors[indices[0]].size))
            for begin in range(0, len(indices), step):
                some = indices[begin : begin + step]
                gram_NCC = _grams([plan.source_of[index].tensor for index in some])
                transfers.add_and(gram_NCC, partial(_write_largest, out, some))

    def largest(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """sigma_max of a tensor seen as a matrix, 0-d on its device; NaN if an element is not finite."""
        x_RC = views.matrix_view(tensor)
        if x_RC.shape[1] > x_RC.shape[0]:
            x_RC = x_RC.T
        if x_RC.shape[1] <= EXACT:
            start = torch.eye(x_RC.shape[1], dtype=_working_dtype(x_RC), device=x_RC.device)
            return _ritz(x_RC, start, 0)[0].sqrt()
        known = self._vectors.get(name)
        is_known = known is not None and known.shape[0] == x_RC.shape[1] and known.device == x_RC.device
        start_CK = self._random(x_RC, FRESH if is_known else KEPT + FRESH)
        if is_known and known is not None:
            start_CK = torch.cat([known, start_CK], dim=1)
        squared, leading_CK = _ritz(x_RC, start_CK, DEPTH if is_known else FIRST_DEPTH)
        # What is not finite would stay so for ever.
        spare = self._random(x_RC, leading_CK.shape[1])
        self._vectors[name] = torch.where(torch.isfinite(squared), leading_CK, spare)
        sigma: torch.Tensor = squared.sqrt()
        return sigma

    def _random(self, x_RC: torch.Tensor, count: int) -> torch.Tensor:
        """Vectors of noise, (columns, count), from a generator of their own."""
        generator = torch.Generator().manual_seed(self._seed)
        self._seed += 1
        columns = x_RC.shape[1]
        start = torch.randn(columns, count, generator=generator, dtype=torch.float32)
        return start.to(x_RC.device, dtype=_working_dtype(x_RC), non_blocking=True)


def _grams(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, C, C) of N matrices of one shape: the smaller of XᵀX and XXᵀ, in the widest dtype there is."""
    x_NRC = torch.stack([views.matrix_view(tensor) for tensor in tensors])
    x_NRC = x_NRC.to(accumulation_dtype(x_NRC.device))
    return x_NRC.mT @ x_NRC if x_NRC.shape[2] <= x_NRC.shape[1] else x_NRC @ x_NRC.mT


def _write_largest(
    out: npt.NDArray[np.float64], rows: Sequence[int], gram_NCC: npt.NDArray[np.floating[Any]]
) -> None:
    is_finite = np.isfinite(gram_NCC).all(axis=(1, 2))
    largest = np.linalg.eigvalsh(np.where(is_finite[:, None, None], gram_NCC, 0.0))[:, -1]
    out[rows] = np.where(is_finite, np.sqrt(largest.clip(min=0)), np.nan)


def _ritz(x_RC: torch.Tensor, start_CK: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(largest Ritz value of XᵀX, leading Ritz vectors) in the Krylov space of some vectors."""
    block_CK = torch.linalg.qr(start_CK)[0]
    basis_CB = block_CK
    for _ in range(depth):
        block_CK = torch.linalg.qr(_finite(_apply(x_RC, block_CK), block_CK))[0]
        basis_CB = torch.linalg.qr(torch.cat([basis_CB, block_CK], dim=1))[0]
    gram_BB = _gram(x_RC, basis_CB)
    is_finite = torch.isfinite(gram_BB).all()
    # Decompositions refuse what is not finite, and asking first would wait for the device.
    values, vectors = torch.linalg.eigh(torch.where(is_finite, gram_BB, torch.zeros_like(gram_BB)))
    nan = torch.full_like(values[-1], torch.nan)
    leading_CK = basis_CB @ vectors[:, -KEPT:].to(basis_CB.dtype)
    return torch.where(is_finite, values[-1].clamp(min=0), nan), leading_CK


def _apply(x_RC: torch.Tensor, v_CK: torch.Tensor) -> torch.Tensor:
    """XᵀX v but for a factor, in one reading of X.

    The factor is the largest of X v so far: squares of huge or tiny weights would leave float32.
    """
    result, largest = torch.zeros_like(v_CK), v_CK.new_zeros(())
    for x in _parts(x_RC, v_CK.dtype):
        u = x @ v_CK
        before, largest = largest, torch.maximum(largest, u.abs().amax())
        divisor = torch.where(largest == 0, 1, largest)
        result = result * (before / divisor) + x.T @ (u / divisor)
    return result


def _gram(x_RC: torch.Tensor, v_CK: torch.Tensor) -> torch.Tensor:
    """vᵀXᵀX v, summed in float64."""
    wide = accumulation_dtype(x_RC.device)
    gram = torch.zeros((v_CK.shape[1], v_CK.shape[1]), dtype=wide, device=x_RC.device)
    for x in _parts(x_RC, v_CK.dtype):
        u = (x @ v_CK).to(wide)
        gram += u.T @ u
    return gram


def _parts(x_RC: torch.Tensor, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    step = max(1, CHUNK // max(1, x_RC.shape[1]))
    for begin in range(0, x_RC.shape[0], step):
        yield x_RC[begin : begin + step].to(dtype)


def _finite(x: torch.Tensor, instead: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isfinite(x).all(), x, instead)


def _working_dtype(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def all_values(x_RC: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """(min(rows, columns),) all singular values, descending; NaN if an element is not finite.

    From the eigenvalues of the smaller of XᵀX and XXᵀ in float64: small values are right
    to 1e-8 of the largest.
    """
    wide = x_RC.astype(np.float64)
    n = min(wide.shape)
    if not np.isfinite(wide).all():
        return np.full(n, np.nan, np.float32)
    gram = wide.T @ wide if wide.shape[1] == n else wide @ wide.T
    values: npt.NDArray[np.float32] = np.sqrt(np.linalg.eigvalsh(gram).clip(min=0))[::-1].astype(np.float32)
    return values
