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
from paramviz.recorder.device_layout import batches, stacked
from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.recorder.device_upload import upload
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import gram_many

Integers = npt.NDArray[np.int64]

KEPT, FRESH = 12, 4
"""Vectors in a block that are known, and random ones."""

FIRST_DEPTH, DEPTH = 6, 2
"""Blocks that are added to the first one; each takes a reading of the matrix."""

EXACT = 64
"""Where a matrix has no more columns (or rows), the space is the whole one. The eigenvalues of
larger ones would wake the threads of OpenBLAS, see `products`."""

CHUNK, DEVICE_CHUNK = 1 << 18, 1 << 24
"""Elements made wide at a time, here and on a device, where few launches count more than a cache."""

ROUNDS = 5
"""Of orthogonal iteration on a device, each with a fourth power."""


class SingularValues:
    """Keeps the vectors of each tensor, by its name; they are few beside the tensor itself."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._vectors: dict[str, torch.Tensor] = {}

    def measure(
        self, plan: ModelPlan, addresses: Integers, out: npt.NDArray[np.float64], transfers: Transfers
    ) -> None:
        """sigma_max of every matrix of a plan into its row of out, (tensors,), once `transfers` is finished.

        NaN if an element is not finite. addresses: of the tensors of the plan's batch, as
        `addresses_of` says them.
        """
        batch = plan.batch
        sides = batch.shapes.min(axis=1)
        at_once = batch.has_norms & (addresses != 0) & (sides <= EXACT) & (batch.sizes <= CHUNK)
        if at_once.any():
            # By their sides, so that those of one side lie together.
            which = np.flatnonzero(at_once)[np.argsort(sides[at_once], kind="stable")]
            triangles = Triangles(sides[which])
            gram_many(addresses[which], batch.shapes[which], triangles.offsets, triangles.flat)
            transfers.and_later(partial(triangles.write_largest, out, batch.rows[which]))
        self._measure_others(plan, batch.rows[batch.has_norms & ~at_once].tolist(), out, transfers)

    def _measure_others(
        self, plan: ModelPlan, rows: Sequence[int], out: npt.NDArray[np.float64], transfers: Transfers
    ) -> None:
        """Those that have no address, or are not small."""
        small: dict[tuple[object, ...], list[int]] = {}
        large: dict[tuple[object, ...], list[int]] = {}
        for index in rows:
            tensor, shape = plan.source_of[index].tensor, plan.tensors[index].matrix_shape
            alike = (shape, tensor.dtype, tensor.device)
            if min(shape) <= EXACT and plan.tensors[index].size <= CHUNK:
                small.setdefault(alike, []).append(index)
            elif views.is_on_host(tensor):
                out[index] = float(self.largest(plan.tensors[index].name, tensor))
            else:
                large.setdefault((*alike, self._knows(plan.tensors[index].name, tensor)), []).append(index)
        for indices in small.values():
            for span in batches(len(indices), plan.tensors[indices[0]].size, CHUNK):
                some = indices[span]
                gram_NCC = _grams([plan.source_of[index].tensor for index in some])
                transfers.add_and(gram_NCC, partial(_write_largest, out, some))
        for indices in large.values():
            names = [plan.tensors[index].name for index in indices]
            gram_NBB = self._follow(names, [plan.source_of[index].tensor for index in indices])
            transfers.add_and(gram_NBB, partial(_write_largest, out, indices))

    def largest(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """sigma_max of a tensor of the host seen as a matrix, 0-d; NaN if an element is not finite."""
        matrices = Alike([tensor])
        basis_NCB = self._basis([name], matrices)
        gram_BB = _gram(matrices, basis_NCB)[0]
        is_finite = torch.isfinite(gram_BB).all()
        # Decompositions refuse what is not finite.
        values, vectors = torch.linalg.eigh(torch.where(is_finite, gram_BB, 0.0))
        if matrices.columns > EXACT:
            leading_CK = basis_NCB[0] @ vectors[:, -KEPT:].to(basis_NCB.dtype)
            self._keep([name], matrices, leading_CK[None], is_finite[None])
        sigma: torch.Tensor = torch.where(is_finite, values[-1].clamp(min=0), torch.nan).sqrt()
        return sigma

    def _follow(self, names: Sequence[str], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, B, B) what the writer thread finds the largest Ritz values from; nothing waits for a device.

        The vectors to start from next time come from a few rounds of orthogonal iteration
        with this small matrix: an eigendecomposition on a device waits for it.
        """
        matrices = Alike(tensors)
        basis_NCB = self._basis(names, matrices)
        gram_NBB = _gram(matrices, basis_NCB)
        if matrices.columns > EXACT:
            is_finite = torch.isfinite(gram_NBB).all(2).all(1)
            leading_NBK = _leading(torch.where(is_finite[:, None, None], gram_NBB, 0.0))
            self._keep(names, matrices, basis_NCB @ leading_NBK.to(basis_NCB.dtype), is_finite)
        return gram_NBB

    def _basis(self, names: Sequence[str], matrices: Alike) -> torch.Tensor:
        """(N, columns, B) orthonormal vectors in which the largest Ritz value is looked for."""
        if matrices.columns <= EXACT:
            eye = torch.eye(matrices.columns, dtype=matrices.dtype, device=matrices.device)
            return eye.expand(len(names), -1, -1)
        if self._knows(names[0], matrices.tensors[0]):
            known_NCK = torch.stack([self._vectors[name] for name in names]).to(matrices.dtype)
            start_NCK = torch.cat([known_NCK, self._random(matrices, FRESH)], dim=2)
            return _krylov(matrices, start_NCK, DEPTH)
        return _krylov(matrices, self._random(matrices, KEPT + FRESH), FIRST_DEPTH)

    def _knows(self, name: str, tensor: torch.Tensor) -> bool:
        known, shape = self._vectors.get(name), views.matrix_view(tensor).shape
        return known is not None and known.shape[0] == min(shape) and known.device == tensor.device

    def _keep(
        self, names: Sequence[str], matrices: Alike, leading_NCK: torch.Tensor, is_finite_N: torch.Tensor
    ) -> None:
        """For the next time; what is not finite would stay so for ever."""
        spare_NCK = self._random(matrices, leading_NCK.shape[2])
        kept_NCK = torch.where(is_finite_N[:, None, None], leading_NCK, spare_NCK)
        # To begin from, float16 is as good; of a large model they take megabytes.
        self._vectors.update(zip(names, kept_NCK.half().unbind(0), strict=True))

    def _random(self, matrices: Alike, count: int) -> torch.Tensor:
        """Vectors of noise, (N, columns, count), the same for all N, from a generator of their own."""
        generator = torch.Generator().manual_seed(self._seed)
        self._seed += 1
        start = torch.randn(matrices.columns, count, generator=generator, dtype=torch.float32)
        there = upload(start.numpy(), matrices.device).to(matrices.dtype)
        return there.expand(len(matrices.tensors), -1, -1)


class Triangles:
    """Room for symmetric matrices, those with few rows first; of each its lower triangle, row by row.

    sides: (n,) how many rows each has, ascending. offsets: (n,) where each begins in `flat`, float64.
    """

    def __init__(self, sides: Integers) -> None:
        lengths = sides * (sides + 1) // 2
        self._sides = sides
        self.offsets = lengths.cumsum() - lengths
        self.flat = np.empty(int(lengths.sum()))

    def write_largest(self, out: npt.NDArray[np.float64], rows: Integers) -> None:
        """The root of the largest eigenvalue of each into its row of out; rows: (n,)."""
        for side in np.unique(self._sides).tolist():
            first, end = np.searchsorted(self._sides, [side, side + 1]).tolist()
            lower, begin = np.tril_indices(side), self.offsets[first]
            triangles = self.flat[begin : begin + (end - first) * len(lower[0])].reshape(end - first, -1)
            for span in batches(end - first, side * side, CHUNK):
                # Decompositions read no more than the lower triangle.
                gram_NCC = np.zeros((len(triangles[span]), side, side))
                gram_NCC[:, *lower] = triangles[span]
                _write_largest(out, rows[first:end][span], gram_NCC)


class Alike:
    """N tensors of one shape, dtype and device, as matrices with at least as many rows as columns."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        tall = [views.matrix_view(tensor) for tensor in tensors]
        self.tensors = [x.T if x.shape[1] > x.shape[0] else x for x in tall]
        self.device = tall[0].device
        self.dtype = torch.float64 if tall[0].dtype == torch.float64 else torch.float32
        self.rows, self.columns = self.tensors[0].shape
        self._most = CHUNK if views.is_on_host(tall[0]) else DEVICE_CHUNK

    def parts(self) -> Iterator[torch.Tensor]:
        """(N, some rows, columns) at a time, in the dtype to work in."""
        step = max(1, self._most // max(1, len(self.tensors) * self.columns))
        for begin in range(0, self.rows, step):
            yield stacked([x[begin : begin + step] for x in self.tensors]).to(self.dtype)


def _grams(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, C, C) of N matrices of one shape: the smaller of XᵀX and XXᵀ, in the widest dtype there is."""
    x_NRC = stacked([views.matrix_view(tensor) for tensor in tensors])
    x_NRC = x_NRC.to(accumulation_dtype(x_NRC.device))
    return x_NRC.mT @ x_NRC if x_NRC.shape[2] <= x_NRC.shape[1] else x_NRC @ x_NRC.mT


def _write_largest(
    out: npt.NDArray[np.float64], rows: Sequence[int] | Integers, gram_NCC: npt.NDArray[np.floating[Any]]
) -> None:
    is_finite = np.isfinite(gram_NCC).all(axis=(1, 2))
    largest = np.linalg.eigvalsh(np.where(is_finite[:, None, None], gram_NCC, 0.0))[:, -1]
    out[rows] = np.where(is_finite, np.sqrt(largest.clip(min=0)), np.nan)


def _krylov(matrices: Alike, start_NCK: torch.Tensor, depth: int) -> torch.Tensor:
    """(N, columns, B) a basis of the Krylov space of XᵀX from some vectors."""
    block_NCK: torch.Tensor = torch.linalg.qr(start_NCK)[0]
    basis_NCB = block_NCK
    for _ in range(depth):
        block_NCK = torch.linalg.qr(_finite(_apply(matrices, block_NCK), block_NCK))[0]
        basis_NCB = torch.linalg.qr(torch.cat([basis_NCB, block_NCK], dim=2))[0]
    return basis_NCB


def _leading(gram_NBB: torch.Tensor) -> torch.Tensor:
    """(N, B, KEPT) about the leading eigenvectors of symmetric matrices, by orthogonal iteration."""
    largest = gram_NBB.abs().amax((1, 2), keepdim=True)
    once = gram_NBB / torch.where(largest > 0, largest, 1.0)
    twice = once @ once
    four = twice @ twice
    # Columns of the fourth power lie in the leading space already; the first block of the basis spans most.
    leading_NBK: torch.Tensor = torch.linalg.qr(four[:, :, :KEPT])[0]
    for _ in range(ROUNDS):
        leading_NBK = torch.linalg.qr(four @ leading_NBK)[0]
    return leading_NBK


def _apply(matrices: Alike, v_NCK: torch.Tensor) -> torch.Tensor:
    """XᵀX v but for a factor, in one reading of X.

    The factor is the largest of X v so far: squares of huge or tiny weights would leave float32.
    """
    result, largest = torch.zeros_like(v_NCK), v_NCK.new_zeros((len(v_NCK), 1, 1))
    for x_NRC in matrices.parts():
        u = x_NRC @ v_NCK
        before, largest = largest, torch.maximum(largest, u.abs().amax((1, 2), keepdim=True))
        divisor = torch.where(largest == 0, 1, largest)
        result = result * (before / divisor) + x_NRC.mT @ (u / divisor)
    return result


def _gram(matrices: Alike, v_NCK: torch.Tensor) -> torch.Tensor:
    """(N, K, K) vᵀXᵀX v, summed in float64."""
    n, _, k = v_NCK.shape
    wide = accumulation_dtype(v_NCK.device)
    gram_NKK = torch.zeros((n, k, k), dtype=wide, device=v_NCK.device)
    for x_NRC in matrices.parts():
        u = (x_NRC @ v_NCK).to(wide)
        gram_NKK += u.mT @ u
    return gram_NKK


def _finite(x_NCK: torch.Tensor, instead: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isfinite(x_NCK).all(2).all(1)[:, None, None], x_NCK, instead)


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
