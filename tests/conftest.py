"""What every suite shares: threads, Hypothesis profiles and the browser."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch, numba or a BLAS is imported, here and in the processes that tests start: the
# suites run side by side, and sums that are split over threads are not reproducible.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

TORTURE = os.environ.get("PARAMVIZ_TORTURE") == "1"

# A test's tmp_path is shared by its examples: those that write into it make a folder of their own.
HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, database=None, suppress_health_check=HEALTH
)
settings.register_profile(
    "torture", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=HEALTH
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("torture" if TORTURE else "ci"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def torture() -> bool:
    """Whether full counts are asked for (scripts/torture) instead of a quick, seeded part."""
    return TORTURE


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for Playwright's `executable_path`. Missing: the test fails, it never skips."""
    found = subprocess.run([ROOT / "scripts" / "chromium"], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.fail(found.stderr.strip(), pytrace=False)
    return found.stdout.strip()
