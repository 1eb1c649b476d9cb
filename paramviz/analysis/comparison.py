"""Two runs beside each other: what they were told, what they reached, and where their weights differ.

Weights are compared sample by sample, at the positions that both runs recorded: the same for
tensors of the same shape, since positions follow from the shape alone. What differs by less than
float16 resolves does not differ here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.analysis.alignment import Alignment, align
from paramviz.analysis.pairing import Pair, Pairing, pair_tensors
from paramviz.schema import TensorInfo
from paramviz.store import Run, StoredSnapshot

SETTINGS = ("model", "parameters", "config", "optimizers", "schedule", "versions")
"""Parts of a run's description that speak of the training."""

TIMINGS = frozenset({"recording_ms"})
"""Scalars that differ between two runs of the same training."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """A dotted key of the description whose values differ; None where a run does not have it."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class ScalarComparison:
    """One scalar where both runs have it. `differing` of `shared` iterations differ; NaN equals NaN."""

    name: str
    last_a: float
    last_b: float
    shared: int
    differing: int


@dataclass(frozen=True, slots=True)
class TensorComparison:
    """A pair of tensors over all snapshots that stand beside each other.

    relative: (T,) root mean square of A - B over that of A, of the `shared` samples that both
    recorded; NaN where it can't be told (no shared samples, not recorded, A all zero and B not).
    cosine: of the samples of the last snapshots. first_difference: A's iteration at which samples or
    statistics first differ, None if they never do. rms and moved: of the whole tensors at the last
    snapshots, the latter their distance from their own start over their norm.
    """

    pair: Pair
    shared: int
    relative: Floats
    cosine: float
    first_difference: int | None
    rms: tuple[float, float]
    moved: tuple[float, float]

    @property
    def largest(self) -> float:
        """The largest relative difference; NaN if none is known."""
        known = self.relative[~np.isnan(self.relative)]
        return float(known.max()) if known.size else math.nan


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found. `iterations`: (T,) of A and of B, that stand beside each other."""

    iterations: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    alignment: Alignment
    settings: tuple[Setting, ...]
    scalars: tuple[ScalarComparison, ...]
    scalars_of_one: tuple[tuple[str, ...], tuple[str, ...]]
    pairing: Pairing
    tensors: tuple[TensorComparison, ...]
    same_iterations: bool

    @property
    def differing(self) -> tuple[TensorComparison, ...]:
        """The pairs that ever differ, the largest difference first; what can't be told comes last."""
        found = [tensor for tensor in self.tensors if tensor.first_difference is not None]
        found.sort(
            key=lambda tensor: -math.inf if math.isnan(tensor.largest) else tensor.largest, reverse=True
        )
        return tuple(found)

    @property
    def is_same_training(self) -> bool:
        """Nothing that was recorded differs: tensors, snapshots, samples, statistics, scalars."""
        return (
            self.same_iterations
            and not self.differing
            and not self.pairing.only_a
            and not self.pairing.only_b
            and not any(self.scalars_of_one)
            and not any(scalar.differing for scalar in self.scalars)
        )

    @property
    def is_same(self) -> bool:
        """The same training, told the same settings; versions of software are none."""
        told = [setting for setting in self.settings if not setting.key.startswith("versions.")]
        return self.is_same_training and not told


def compare(
    a: Run,
    b: Run,
    alignment: Alignment = "iteration",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare two runs, reading each snapshot that stands beside another one once.

    progress is called with (done, total). Raises UsageError if the runs cannot be aligned so,
    DamagedRunError where a snapshot is damaged.
    """
    iterations_a, iterations_b = align(a, b, alignment)
    pairing = pair_tensors(a.tensors, b.tensors)
    ongoing = [_Ongoing(pair) for pair in pairing.pairs]
    for number, (at_a, at_b) in enumerate(zip(iterations_a.tolist(), iterations_b.tolist(), strict=True)):
        snapshots = _Samples(a, a[at_a]), _Samples(b, b[at_b])
        for one in ongoing:
            one.add(*snapshots)
        progress(number + 1, len(iterations_a))
    ours, theirs = set(a.scalar_names) - TIMINGS, set(b.scalar_names) - TIMINGS
    return Comparison(
        (iterations_a, iterations_b),
        alignment,
        tuple(setting_differences(a.description, b.description)),
        tuple(_compare_scalar(a, b, name) for name in sorted(ours & theirs)),
        (tuple(sorted(ours - theirs)), tuple(sorted(theirs - ours))),
        pairing,
        tuple(one.done() for one in ongoing),
        np.array_equal(a.iterations, b.iterations),
    )


def setting_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[Setting]:
    """What two descriptions say differently of the training, by dotted key; lists count as one value."""
    flat_a, flat_b = (_flat("", {k: d[k] for k in SETTINGS if k in d}) for d in (a, b))
    for key in [*flat_a, *(key for key in flat_b if key not in flat_a)]:
        value_a, value_b = flat_a.get(key), flat_b.get(key)
        if value_a != value_b and not (value_a != value_a and value_b != value_b):
            yield Setting(key, value_a, value_b)


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for key, part in value.items() for k, v in _flat(f"{prefix}.{key}", part).items()}
    if isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        return _flat(prefix, {str(number): part for number, part in enumerate(value)})
    return {prefix.removeprefix("."): value}


def _compare_scalar(a: Run, b: Run, name: str) -> ScalarComparison:
    (at_a, values_a), (at_b, values_b) = a.scalar_series(name), b.scalar_series(name)
    _, in_a, in_b = np.intersect1d(at_a, at_b, return_indices=True)
    ours, theirs = values_a[in_a], values_b[in_b]
    differing = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
    only_one = len(at_a) + len(at_b) - 2 * len(in_a)
    return ScalarComparison(
        name, float(values_a[-1]), float(values_b[-1]), len(in_a), int(differing.sum()) + only_one
    )


class _Samples:
    """The arrays of one snapshot, each read once."""

    def __init__(self, run: Run, snapshot: StoredSnapshot) -> None:
        self.snapshot = snapshot
        self.keys = run.statistic_keys
        self._run = run
        self._arrays: dict[str, npt.NDArray[Any] | None] = {}
        self._by_name = run.plan_reader.by_name(snapshot.plan)

    def tensor(self, name: str) -> TensorInfo | None:
        """The tensor as this snapshot has it: a model may change while it trains."""
        tensor = self._by_name.get(name)
        return None if tensor is None or tensor.skipped is not None or tensor.tied_to is not None else tensor

    def values(self, tensor: TensorInfo) -> npt.NDArray[Any] | None:
        frozen = self._run.frozen_samples(self.snapshot.plan.number, tensor)
        if frozen is not None:
            return frozen
        array = self._array(tensor.array)
        return None if array is None else array[tensor.offset : tensor.offset + tensor.samples]

    def positions(self, tensor: TensorInfo) -> npt.NDArray[np.int64]:
        return self._run.positions(tensor.name, self.snapshot.iteration)

    def statistics(self, tensor: TensorInfo) -> dict[str, float]:
        table = self._array("statistics")
        return {} if table is None else dict(zip(self.keys, table[tensor.index].tolist(), strict=True))

    def gradient_row(self, tensor: TensorInfo) -> npt.NDArray[Any] | None:
        table = self._array("gradient_statistics")
        return None if table is None else table[tensor.index]

    def _array(self, key: str) -> npt.NDArray[Any] | None:
        if key not in self._arrays:
            self._arrays[key] = self.snapshot.array(key)
        return self._arrays[key]


@dataclass(slots=True)
class _Ongoing:
    """What is known of a pair while the snapshots pass."""

    pair: Pair
    relative: list[float] = field(default_factory=list)
    shared: int = 0
    cosine: float = math.nan
    first_difference: int | None = None
    rms: tuple[float, float] = (math.nan, math.nan)
    moved: tuple[float, float] = (math.nan, math.nan)
    _places: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None
    _plans: tuple[int, int] | None = None

    def add(self, a: _Samples, b: _Samples) -> None:
        ours, theirs = a.tensor(self.pair.a.name), b.tensor(self.pair.b.name)
        if ours is None or theirs is None:
            self.relative.append(math.nan)
            self._differs_at(a.snapshot.iteration, (ours is None) != (theirs is None))
            return
        of_a, of_b = a.statistics(ours), b.statistics(theirs)
        self.rms = of_a.get("rms", math.nan), of_b.get("rms", math.nan)
        self.moved = _moved(of_a), _moved(of_b)
        values_a, values_b = a.values(ours), b.values(theirs)
        gradients = a.gradient_row(ours), b.gradient_row(theirs)
        same = all(_alike(of_a[key], of_b[key]) for key in of_a.keys() & of_b.keys()) and _same_row(
            *gradients
        )
        if values_a is None or values_b is None or ours.shape != theirs.shape:
            self.relative.append(math.nan)
        else:
            in_a, in_b = self._shared_places(a, b, ours, theirs)
            x, y = values_a[in_a].astype(np.float64), values_b[in_b].astype(np.float64)
            self.shared = len(x)
            self.relative.append(_relative(x, y))
            self.cosine = _cosine(x, y)
            same = same and np.array_equal(x, y, equal_nan=True)
        self._differs_at(a.snapshot.iteration, not same or ours.shape != theirs.shape)

    def done(self) -> TensorComparison:
        return TensorComparison(
            self.pair,
            self.shared,
            np.array(self.relative, np.float64),
            self.cosine,
            self.first_difference,
            self.rms,
            self.moved,
        )

    def _differs_at(self, iteration: int, differs: bool) -> None:
        if differs and self.first_difference is None:
            self.first_difference = iteration

    def _shared_places(
        self, a: _Samples, b: _Samples, ours: TensorInfo, theirs: TensorInfo
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Where the samples that both recorded lie in the values of each; found once for a pair of plans."""
        plans = a.snapshot.plan.number, b.snapshot.plan.number
        if self._places is None or plans != self._plans:
            _, in_a, in_b = np.intersect1d(
                a.positions(ours), b.positions(theirs), assume_unique=True, return_indices=True
            )
            self._places, self._plans = (in_a, in_b), plans
        return self._places


def _alike(x: float, y: float) -> bool:
    return x == y or (x != x and y != y)


def _same_row(x: npt.NDArray[Any] | None, y: npt.NDArray[Any] | None) -> bool:
    """Where one of both runs did not record it there is nothing to compare."""
    return x is None or y is None or len(x) != len(y) or np.array_equal(x, y, equal_nan=True)


def _moved(statistics: Mapping[str, float]) -> float:
    """Distance from the start over the norm, NaN where either is not known."""
    norm = statistics.get("l2_norm", math.nan)
    return statistics.get("distance_from_start", math.nan) / norm if norm else math.nan


def _relative(x: Floats, y: Floats) -> float:
    """Root mean square of x - y over that of x; 0 for equal ones, whatever they are."""
    if np.array_equal(x, y, equal_nan=True):
        return 0.0 if x.size else math.nan
    with np.errstate(invalid="ignore", over="ignore"):
        gap, size = x - y, _product(x, x)
        return math.sqrt(_product(gap, gap) / size) if size > 0 else math.nan


def _cosine(x: Floats, y: Floats) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        size = math.sqrt(_product(x, x)) * math.sqrt(_product(y, y))
        return float(np.clip(_product(x, y) / size, -1.0, 1.0)) if size > 0 else math.nan


def _product(x: Floats, y: Floats) -> float:
    """Not by BLAS: its threads would spin for a moment after each of ten thousand small products."""
    return float(np.einsum("i,i->", x, y))
