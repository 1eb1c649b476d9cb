"""Names, units and shapes that the recorder, the store, the reader and the viewer share.

Nothing here computes; `docs/FORMAT.md` says in MUST and MAY how these things
lie on disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FORMAT_MAJOR, FORMAT_MINOR = 1, 0
"""Format of the runs written. A reader takes every minor version of its own major one, and 0.1."""

Role = Literal[
    "token_embedding",
    "position_embedding",
    "attention_query",
    "attention_key",
    "attention_value",
    "attention_qkv",
    "attention_projection",
    "mlp_up",
    "mlp_gate",
    "mlp_down",
    "norm",
    "head",
    "bias",
    "conv",
    "recurrent",
    "router",
    "expert",
    "adapter",
    "buffer",
    "other",
]

Block = Literal["embedding", "attention", "mlp", "norm", "head", "other"]
"""The part of the architecture that a tensor serves; a bias takes the block of its weight."""

GradientState = Literal[
    "used", "scaled-unknown", "skipped", "last-evaluation", "per-microbatch", "unavailable"
]

Tier = Literal["core", "key"]

RunStatus = Literal["recording", "finished", "crashed"]

EventKind = Literal["validation", "checkpoint", "final", "gap", "skipped_step", "resume", "crash"]

FORCING_EVENTS: tuple[str, ...] = ("validation", "checkpoint", "final")
"""Events that a caller may pass to `Recorder.step`; each forces a snapshot."""

MOMENT_KEYS: tuple[str, ...] = (
    "mean",
    "std",
    "min",
    "max",
    "rms",
    "l2_norm",
    "absmax",
    "sparsity",
    "skewness",
    "kurtosis",
    "n_nan",
    "n_inf",
    "n_overflow",
    "n_underflow",
)
"""Statistics of a whole tensor, before any cast. `docs/FORMAT.md` has the formulas."""

UPDATE_KEYS: tuple[str, ...] = (
    "update_norm",
    "update_ratio",
    "update_cosine",
    "angular_update",
    "unchanged_share",
    "distance_from_start",
    "cosine_to_start",
)
"""Against the previous and the first snapshot; estimates from the samples unless a tensor is kept whole."""

KEY_STATISTIC_KEYS: tuple[str, ...] = (
    "moment1_norm",
    "moment2_rms",
    "epsilon_share",
    "sigma_max",
    "stable_rank",
)
"""Of an optimizer that keeps such moments, and of the singular values; in key snapshots only."""

STATISTIC_KEYS: tuple[str, ...] = MOMENT_KEYS + UPDATE_KEYS + KEY_STATISTIC_KEYS
"""Columns of `statistics`, in order."""

GRADIENT_KEYS: tuple[str, ...] = MOMENT_KEYS
"""Columns of `gradient_statistics`, in order."""

ACTIVATION_KEYS: tuple[str, ...] = ("rms", "absmax", "zeros", "dead_units", "saturated", "saturated_units")
"""Columns of `activations`, in order: what a probe tells of a module's output. See docs/FORMAT.md."""

SPARSITY_THRESHOLD = 1e-6
"""`sparsity` is the share of finite elements whose absolute value is below this."""

FLOAT16_MAX = 65504.0
"""Largest finite float16: what is beyond it is inf in a float16 sample, and counted in `n_overflow`."""

FLOAT16_TINY = 2.0**-25
"""Non-zero values at or below half the smallest subnormal round to zero in float16 (`n_underflow`)."""

NEIGHBOURS = 10
"""Nearest neighbours that are recorded of a token."""

HISTOGRAM_BINS = 64
HISTOGRAM_LOWEST_EXPONENT = -24
"""|x| < 2**-24 falls in the innermost bin of its sign."""


def histogram_edges() -> npt.NDArray[np.float64]:
    """The 65 edges of the fixed signed-logarithmic bins, ascending, ends infinite.

    Bin 32 is [0, 2**-24), bin 33 [2**-24, 2**-23), …, bin 63 [2**6, inf); bins
    31 to 0 are their mirror images, open towards zero and closed away from it:
    31 is (-2**-24, 0) and 0 is (-inf, -2**6]. Zero of either sign is in bin
    32. NaN and inf are in no bin: they are counted apart.
    """
    half = HISTOGRAM_BINS // 2
    magnitudes = 2.0 ** np.arange(
        HISTOGRAM_LOWEST_EXPONENT, HISTOGRAM_LOWEST_EXPONENT + half - 1, dtype=np.float64
    )
    return np.concatenate([[-np.inf], -magnitudes[::-1], [0.0], magnitudes, [np.inf]])


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of a tensor seen as a matrix: `shape[0]` times the rest, a vector as one row."""
    return (1, math.prod(shape)) if len(shape) <= 1 else (shape[0], math.prod(shape[1:]))


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One parameter (or buffer) of the model, and where its samples lie in a snapshot.

    `index` is its row in the statistics tables. `grid` is (R, C): the samples
    are R rows times C columns of the tensor seen as a matrix, row-major, and
    `samples` = R * C. They lie at `offset` in `array` ("values": float16,
    "vectors": float32). A tied name has `tied_to`, no samples of its own, and
    answers from its owner; a tensor with a `skipped` reason has none at all.
    `row_groups` and `column_groups` cut its canonical (out, in) axes into equal parts:
    heads, Q, K and V, experts; `transposed`: it is stored as (in, out).
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str
    layer: int | None
    block: str
    tied_to: str | None = None
    frozen: bool = False
    samples: int = 0
    skipped: str | None = None
    grid: tuple[int, int] = (0, 0)
    array: str = "values"
    offset: int = 0
    row_groups: int = 1
    column_groups: int = 1
    transposed: bool = False

    @property
    def size(self) -> int:
        """Number of elements of the whole tensor."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """True if every element is recorded."""
        return self.samples == self.size

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, columns) of the tensor seen as a matrix."""
        return matrix_shape(self.shape)


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """Which rows of which token embedding are recorded at full width.

    `tokens`: (K,) int32 row indices, ascending. `every_snapshot`: the rows are
    small enough to be in every snapshot; otherwise they are in the first, the
    forced and the last, and the others hold scores in a numbered basis.
    """

    tensor: str
    width: int
    vocabulary_size: int
    tokens: npt.NDArray[np.int32]
    every_snapshot: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """An immutable, numbered agreement on what each snapshot holds.

    `positions`: (N,) int64 flat indices into each tensor, for the concatenated
    float16 samples; `vector_positions`: (V,) for the float32 ones. The last
    `frozen_values` and `frozen_vectors` of them are samples of tensors that do not
    change under this plan: the plan holds them, and no snapshot repeats them.
    `cell_edges`: (E,), for each tensor that has cells R + 1 edges of its rows and C + 1
    of its columns; empty if no cells are recorded. `sketch_basis`: (width, 128), what
    rows of the embedding are multiplied with for their sketch. `neighbour_tokens`: (Q,)
    the tokens whose nearest neighbours are recorded, each one of `embedding.tokens`.
    """

    number: int
    tensors: tuple[TensorInfo, ...]
    positions: npt.NDArray[np.int64]
    vector_positions: npt.NDArray[np.int64]
    embedding: EmbeddingPlan | None = None
    frozen_values: int = 0
    frozen_vectors: int = 0
    cell_edges: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    sketch_basis: npt.NDArray[np.float32] | None = None
    neighbour_tokens: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def moving(self, array: str) -> int:
        """How many samples of "values" or "vectors" are in each snapshot; the plan holds the others."""
        if array == "values":
            return len(self.positions) - self.frozen_values
        return len(self.vector_positions) - self.frozen_vectors


@dataclass(frozen=True, slots=True)
class FrozenSamples:
    """Samples that a plan holds, since they do not change: values (F,) float16, vectors (G,) float32."""

    values: npt.NDArray[np.float16]
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run. `kind` is one of `EventKind`."""

    iteration: int
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class GradientStates:
    """The state of each gradient of a snapshot: `default`, save for `exceptions` by tensor index."""

    default: str = "unavailable"
    exceptions: dict[int, str] = field(default_factory=dict)
    reason: str = ""

    def of(self, index: int) -> str:
        return self.exceptions.get(index, self.default)


@dataclass(slots=True)
class Snapshot:
    """What the recorder hands to the store for one iteration. The store keeps no reference.

    values: (N - F,) float16; vectors: (V - G,) float32, see `Plan`; statistics: (tensors, S) float32;
    histograms: (tensors, 64) uint32; gradient_statistics: (tensors, G) float32,
    NaN rows where there was no gradient. embedding_rows: (K, width) float16;
    embedding_scores: (K, 8) float16 in basis number `basis`. Each may be None:
    switched off, or not due in this tier. `probe`: number of the `Probe` that what
    comes of a probe refers to. `more`: the further quantities of docs/FORMAT.md by
    their names, as they lie in the store.
    """

    iteration: int
    plan: int
    tier: Tier
    time_unix_s: float
    scalars: dict[str, float]
    events: list[Event]
    gradient_states: GradientStates
    values: npt.NDArray[np.float16] | None = None
    vectors: npt.NDArray[np.float32] | None = None
    statistics: npt.NDArray[np.float32] | None = None
    histograms: npt.NDArray[np.uint32] | None = None
    gradient_statistics: npt.NDArray[np.float32] | None = None
    embedding_rows: npt.NDArray[np.float16] | None = None
    embedding_scores: npt.NDArray[np.float16] | None = None
    basis: int | None = None
    probe: int | None = None
    more: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingBasis:
    """A frozen PCA basis of recorded embedding rows.

    components: (8, width) float32, orthonormal rows; mean: (width,) float32;
    explained: (8,) float32 shares of the total variance of the rows at `iteration`.
    """

    number: int
    iteration: int
    components: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    explained: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """One place of a model where attention was seen: its module's name, and how many heads it has there.

    `queries` x `keys` is what the pattern of each head covers: the first positions of the
    first sequence.
    """

    name: str
    heads: int
    queries: int
    keys: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What a fixed batch is, and what is recorded when it runs through the model.

    inputs: (name, shape) of each tensor of the batch; tokens: (n,) int64 of its first
    sequence, empty if it has none. `layers`: in the order in which they ran. `residuals`:
    the row of blocks whose outputs have a residual rms, each stack of them led by its own
    name, which stands for what flows into it. `modules`: whose outputs the rows of
    `activations` describe, by `columns`. `reason`: why attention is not seen, or is not
    seen everywhere; empty if nothing is to be said.
    """

    number: int
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    tokens: npt.NDArray[np.int64]
    layers: tuple[AttentionLayer, ...]
    residuals: tuple[str, ...]
    modules: tuple[str, ...]
    columns: tuple[str, ...] = ACTIVATION_KEYS
    reason: str = ""

    @property
    def pattern_shape(self) -> tuple[int, int, int, int]:
        """(layers, heads, queries, keys) of the array of all patterns; NaN where a layer has fewer."""
        most = ((layer.heads, layer.queries, layer.keys) for layer in self.layers)
        heads, queries, keys = (max(extents) for extents in zip((0, 0, 0), *most, strict=True))
        return len(self.layers), heads, queries, keys


Description = dict[str, Any]
"""What a run says of itself: model, parameters, config, optimizer, versions, host, commit. JSON values."""
