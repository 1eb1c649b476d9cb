"""What one process tells of one snapshot: numbers that can be added to those of the others, as bytes.

A message is one line of JSON, then the arrays one behind the other. Nothing in it is executed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.quantities import Quantities
from paramviz.recorder.frames import Frame, Gradients
from paramviz.recorder.sharded.shares import Share
from paramviz.statistics import GridSums

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """A process's share of a snapshot.

    facts: what is no array, as JSON has it. arrays: of its pieces, in their order, `samples` (n,),
    `statistics` (pieces, 14), `histograms` (pieces, 64), `moments` (pieces, 3), `embedding_rows`;
    of those pieces that `facts` name, `cells` (n, total, squares, absmax of each), `row_squares`,
    `column_squares`, `head_squares`; the same of gradients, with `gradient_` before it.
    """

    facts: dict[str, Any]
    arrays: Arrays

    @classmethod
    def of(cls, frame: Frame, share: Share, fingerprint: str, quantities: Quantities) -> Contribution:
        """Waits for the devices. The frame is done with afterwards."""
        frame.transfers.finish()
        rows = share.rows
        sums, heads = frame.grids.tensors, frame.grids.heads
        summed = [piece for piece in share.pieces if piece.index in sums]
        celled = [piece for piece in summed if piece.cells is not None] if "cells" in quantities else []
        facts: dict[str, Any] = {
            "iteration": frame.iteration,
            "plan": fingerprint,
            "tier": frame.tier,
            "cells": [piece.index for piece in celled],
            "heads": [piece.index for piece in share.pieces if piece.index in heads],
        }
        arrays: Arrays = {
            "samples": frame.samples.copy(),
            "statistics": frame.statistics[rows],
            "histograms": frame.histograms[rows],
            "moments": frame.moments[rows],
            "cells": _flat(
                array
                for piece in celled
                for of in (sums[piece.index],)
                for array in (of.n, of.total, of.squares, of.absmax)
            ),
            "head_squares": _flat(heads[index] for index in facts["heads"]),
        }
        if frame.embedding_rows is not None:
            arrays["embedding_rows"] = frame.embedding_rows.copy()
        facts["sums"], of_axes = _axes(sums, share)
        arrays |= of_axes
        if frame.gradients is not None:
            _add_gradients(frame.gradients, share, facts, arrays)
        return cls(facts, arrays)

    def to_bytes(self) -> bytes:
        described = {name: [array.dtype.str, array.shape] for name, array in self.arrays.items()}
        head = json.dumps({"facts": self.facts, "arrays": described}).encode() + b"\n"
        return head + b"".join(np.ascontiguousarray(array).tobytes() for array in self.arrays.values())

    @classmethod
    def from_bytes(cls, message: bytes) -> Contribution:
        begin = message.index(b"\n") + 1
        head = json.loads(message[:begin])
        arrays: Arrays = {}
        for name, (dtype, shape) in head["arrays"].items():
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(message, dtype, count, begin).reshape(shape)
            begin += arrays[name].nbytes
        return cls(head["facts"], arrays)


def _add_gradients(gradients: Gradients, share: Share, facts: dict[str, Any], arrays: Arrays) -> None:
    gradients.transfers.finish()
    told = sorted({row for flag, rows in gradients.found_inf if float(flag) != 0 for row in rows})
    facts["states"] = [[row, state] for row, state in gradients.states.items()]
    facts["skipped"] = told
    facts["reasons"] = gradients.reasons
    facts["is_measured"] = gradients.is_measured
    facts["hook_s"] = gradients.hook_s
    if gradients.statistics is not None:
        arrays["gradient_statistics"] = gradients.statistics[share.rows]
    if gradients.samples is not None:
        arrays["gradient_samples"] = gradients.samples
    facts["gradient_sums"], of_axes = _axes(gradients.grids, share)
    arrays |= {f"gradient_{name}": array for name, array in of_axes.items()}


def _axes(sums: Any, share: Share) -> tuple[list[int], Arrays]:
    """Which pieces were summed up, and their sums along rows and columns."""
    indices = [piece.index for piece in share.pieces if piece.index in sums]
    of: list[GridSums] = [sums[index] for index in indices]
    return indices, {
        "row_squares": _flat(each.row_squares for each in of),
        "column_squares": _flat(each.column_squares for each in of),
    }


def _flat(arrays: Any) -> npt.NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(np.asarray(array, np.float64).ravel() for array in arrays)])
