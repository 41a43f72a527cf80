"""The direction of imports: the contracts of pyproject.toml, what a room brings along when it is
imported, and the names that each room gives."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys

import pytest

import hypertax
from hypertax.files import ROOT

PACKAGES = sorted(
    module.name for module in pkgutil.walk_packages(hypertax.__path__, "hypertax.") if module.ispkg
)
HEAVY = {"timm", "transformers", "snakemake", "papermill", "accelerate", "peft", "msprime"}
DRAWING = {"matplotlib", "aggdraw"}


def _imported_by(statement: str) -> set[str]:
    """The modules that a new process holds after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.split())


def test_each_layer_imports_only_what_stands_below_it():
    linter = "import sys; from importlinter.cli import lint_imports as lint;"
    command = f"{linter} sys.exit(lint('pyproject.toml', no_cache=True, no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", done.stdout), done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import hypertax.geometry",
        "from hypertax.geometry import *",
        "import hypertax.tables",
        "from hypertax.tables import *",
        "from hypertax.losses import *",
        "from hypertax.evaluation import *",
    ],
)
def test_a_room_does_not_bring_the_trainer_along(statement):
    found = _imported_by(statement)
    assert sorted(found & (HEAVY | DRAWING)) == []
    rooms = {name.split(".")[1] for name in found if name.startswith("hypertax.")}
    assert sorted(rooms & {"training", "study", "figures", "explorer"}) == []


def test_the_geometry_knows_no_other_room():
    found = {name for name in _imported_by("from hypertax.geometry import *")}
    rooms = {name.split(".")[1] for name in found if name.startswith("hypertax.")}
    assert rooms == {"geometry"}
    assert sorted(found & {"pandas", "contourpy", "geoopt", "scipy"}) == []


def test_importing_a_package_imports_none_of_its_modules():
    found = _imported_by("\n".join(f"import {name}" for name in PACKAGES))
    assert {name for name in found if name.startswith("hypertax.")} == set(PACKAGES)
    assert sorted(found & {"torch", "pandas", "numpy"}) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_gives_its_public_names(name):
    """Each exists, and none hides a module of the package."""
    package = importlib.import_module(name)
    assert package.__doc__ and package.__all__
    for public in package.__all__:
        assert not public.startswith("_") and getattr(package, public) is not None
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert sorted(modules & set(package.__all__)) == []


def test_no_public_name_is_given_twice():
    given: dict[str, set[int]] = {}
    for name in PACKAGES:
        package = importlib.import_module(name)
        for public in package.__all__:
            given.setdefault(public, set()).add(id(getattr(package, public)))
    assert sorted(public for public, things in given.items() if len(things) > 1) == []
