"""Shared by all tests and by the notebooks' kernels: one thread, so that digits do not depend on
the number of cores, and no network."""

from __future__ import annotations

import os

# Before torch or a BLAS is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import pytest

from hypertax.files import ROOT

SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def quiet_machine() -> None:
    """Sums over threads come in any order, and figures need no screen."""
    import matplotlib
    import torch

    torch.set_num_threads(1)
    # Not by MPLBACKEND: the notebooks' kernels would inherit it and show no figures.
    matplotlib.use("agg")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that lie beside the repository, not in it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data ../shared/data are not on this machine")
    return SHARED_DATA
