"""What a snapshot tells of its probe: attention by layer, activations by module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from paramviz.errors import NotRecordedError
from paramviz.schema import Probe

if TYPE_CHECKING:
    from paramviz.store.snapshot import StoredSnapshot

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Every head of one layer, on the probe's batch.

    pattern: (heads, queries, keys) float16, how much each of the first positions of the
    first sequence looks at each. entropy: (heads,) in nats, the mean over all queries of
    the batch; max_logit: (heads,) the largest over all of the batch, before the softmax.
    """

    pattern: npt.NDArray[np.float16]
    entropy: Floats
    max_logit: Floats


class ProbeView:
    """The accessors of one snapshot that a probe answers; `StoredSnapshot` answers with them."""

    def __init__(self, snapshot: StoredSnapshot, probe: Probe) -> None:
        self._snapshot = snapshot
        self._probe = probe

    def attention(self, layer: int | str) -> Attention:
        """layer: its number, from the front or from the back, or its name."""
        number = self._layer_number(layer)
        of = self._probe.layers[number]
        pattern = self._snapshot.rows_of("attention", number, 1)[0]
        entropy, max_logit = (
            self._snapshot.cached(key)[number, : of.heads]
            for key in ("attention_entropy", "attention_max_logit")
        )
        return Attention(pattern[: of.heads, : of.queries, : of.keys], entropy, max_logit)

    def activations(self, module: str) -> dict[str, float]:
        """By the probe's columns; NaN where a column says nothing of such a module."""
        if module not in self._probe.modules:
            raise self._has_none(f"no activations of a module {module!r}", self._probe.modules)
        row = self._snapshot.cached("activations")[self._probe.modules.index(module)]
        return dict(zip(self._probe.columns, row.tolist(), strict=True))

    def residual_rms(self) -> dict[str, float]:
        """By the probe's residuals, in their order."""
        rms = self._snapshot.cached("residual_rms")
        return dict(zip(self._probe.residuals, rms.tolist(), strict=True))

    def _layer_number(self, layer: int | str) -> int:
        names = [of.name for of in self._probe.layers]
        if isinstance(layer, str) and layer in names:
            return names.index(layer)
        if not isinstance(layer, str) and -len(names) <= layer < len(names):
            return int(layer) % len(names)
        reason = f" ({self._probe.reason})" if self._probe.reason else ""
        raise self._has_none(f"no attention in a layer {layer!r}{reason}", names)

    def _has_none(self, what: str, known: list[str] | tuple[str, ...]) -> NotRecordedError:
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        return NotRecordedError(
            f"{self._snapshot}: the probe saw {what}. It knows {len(known)}: {shown or 'none'}.",
            path=self._snapshot.path,
        )
