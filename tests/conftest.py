"""Shared by all tests and by the notebooks' kernels: one thread, no network, a seed for each test.

With one thread no digit depends on the number of cores.
"""

from __future__ import annotations

import os
import random

# Before torch or a BLAS is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Iterator
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Say which tests stay in one process where there are several (`--dist loadfile`).

    Those of a file stay together, and so do all notebooks: they share `runs/`, and two of them at a
    time would train the same run twice.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class NotebooksTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "notebooks" if file.endswith(".ipynb") else file

    return NotebooksTogether(config, log)


def _torch_state() -> dict[str, object]:
    import torch

    return {
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.fixture(autouse=True)
def seeded_and_left_as_found(quiet_machine) -> Iterator[None]:
    """Every test begins with the same seeds; one that leaves torch changed fails by name."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global generator, in case that a library uses it)
    torch.manual_seed(0)
    before = _torch_state()
    yield
    after = _torch_state()
    torch.set_default_dtype(before["default dtype"])
    torch.set_default_device(before["default device"])
    torch.set_num_threads(before["threads"])
    torch.set_grad_enabled(before["gradients"])
    torch.use_deterministic_algorithms(before["deterministic algorithms"])
    assert after == before, "a test leaves torch's global state as it finds it"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that lie beside the repository, not in it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data ../shared/data are not on this machine")
    return SHARED_DATA
