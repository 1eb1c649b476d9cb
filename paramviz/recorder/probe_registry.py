"""Probes in the store: one that says the same as an earlier one is not written again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paramviz.schema import Probe
from paramviz.store import Run, RunWriter


class ProbeRegistry:
    """Numbers probes. `earlier` is the run as an earlier session left it."""

    def __init__(self, writer: RunWriter, earlier: Run | None) -> None:
        self._writer = writer
        past = [] if earlier is None else [earlier.probe(n) for n in range(earlier.n_probes)]
        self._numbers = {_identity(probe): probe.number for probe in past}

    def number(self, probe: Probe) -> int:
        """Its number in the store, where it is written if it is new. OSError if it cannot be."""
        identity = _identity(probe)
        if identity not in self._numbers:
            self._numbers[identity] = self._writer.add_probe(probe)
        return self._numbers[identity]


def _identity(probe: Probe) -> tuple[bytes, str]:
    return probe.tokens.tobytes(), repr(replace(probe, number=0, tokens=np.empty(0, np.int64)))
