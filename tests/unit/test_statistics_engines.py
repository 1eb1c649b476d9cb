"""numba where it works, numpy where not, and the same numbers from both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paramviz.statistics import engine, numba_engine, numba_updates, numpy_engine, numpy_updates, warm_up
from paramviz.statistics.engines import NUMPY, current_engine
from paramviz.statistics.tally import empty_tally

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    """The output of a fresh interpreter, in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_numba_is_used_where_it_works():
    assert engine() == warm_up() == "numba"


@pytest.mark.parametrize("reason", ["sys.modules['numba'] = None", "sys.modules['numba'] = object()"])
def test_without_a_working_numba_everything_works_silently(reason):
    """Not installed, or broken."""
    code = f"""
import sys
{reason}
import numpy as np
from paramviz.statistics import compare_samples, engine, measure, warm_up
out, counts = np.empty(14), np.empty(64, dtype=np.uint32)
x = np.arange(5, dtype=np.float32)
measure(x, out, counts)
print(warm_up(), engine(), out[0], counts.sum(), compare_samples(x + 1, x, x, x)[0] ** 2)
"""
    assert run(code).split() == ["numpy", "numpy", "2.0", "5", "5.000000000000001"]


def test_numba_is_not_imported_before_it_is_needed():
    """A colleague who only looks at runs does not wait for it."""
    assert run("import sys, paramviz.statistics; print('numba' in sys.modules)") == "False"


def test_a_cache_that_cannot_be_written_does_not_matter(monkeypatch):
    """The package lies in a read-only place and there is no home: numba finds no place for its cache."""
    monkeypatch.setenv("NUMBA_CACHE_LOCATOR_CLASSES", "IPythonCacheLocator")
    assert run("from paramviz.statistics import warm_up; print(warm_up())") == "numba"


def test_loops_that_do_not_compile_do_not_matter(monkeypatch):
    """numba imports, but its first use fails: no room for the cache, an unknown processor."""

    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(numba_engine, "accumulate", fail)
    assert current_engine.__wrapped__() is NUMPY


def tally_and_bins(module, x):
    tally, bins = empty_tally(), np.zeros(64, dtype=np.int64)
    module.accumulate(x, tally, bins)
    return tally, bins


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.integers(0, 30),
            elements=st.one_of(
                st.floats(-(2.0**100), 2.0**100, width=32),
                st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30]),
            ),
        )
    ),
    st.integers(1, 700),
)
def test_engines_agree(x, repeats):
    """Up to six blocks; sums to rounding, extremes, counts and bins exactly."""
    x = np.tile(x, repeats)
    (numba, numba_bins), (numpy, numpy_bins) = (tally_and_bins(m, x) for m in (numba_engine, numpy_engine))
    assert np.array_equal(numba_bins, numpy_bins)
    assert np.array_equal(numba[[0, *range(5, 12)]], numpy[[0, *range(5, 12)]])
    scale = max(1.0, float(np.abs(x[np.isfinite(x)]).max(initial=0.0)))
    powers = np.array([1, 2, 3, 4])
    weight = np.array([1, *[max(1, x.size)] * 3]) * scale**powers
    assert np.all(np.abs(numba[1:5] - numpy[1:5]) <= 1e-11 * weight)


@given(
    hnp.arrays(np.float32, st.tuples(st.just(4), st.integers(0, 30)), elements=hnp.from_dtype(np.dtype("f4")))
)
def test_comparisons_agree(samples):
    found = numba_updates.compare(*samples)
    assert found == pytest.approx(numpy_updates.compare(*samples), rel=1e-12, abs=1e-14, nan_ok=True)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of the mappings")
def test_the_compiler_does_not_stay_in_memory_once_the_loops_are_loaded():
    """Its code is let go of, and is there again for whoever compiles something later."""
    code = """
from pathlib import Path
def resident_kb():
    sizes, is_code = [], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            is_code = "libllvmlite" in line and "r-xp" in line
        elif is_code and line.startswith("Rss:"):
            sizes.append(int(line.split()[1]))
    return sum(sizes)

from paramviz.statistics import engine, warm_up
warm_up()
after = resident_kb()
import numba
numba.njit(lambda x: x + 1)(1)
print(engine(), after, resident_kb())
"""
    name, after, compiling = run(code).split()
    assert name == "numba"
    assert int(after) < 2_000 < 10_000 < int(compiling)
