"""One set of dependencies: pyproject.toml, environment.yml, constraints.txt, what is installed and
what the code imports agree."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from nbval.plugin import get_sanitize_patterns
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from hypertax.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
DECLARED = [*CORE, *(Requirement(line) for extra in EXTRAS.values() for line in extra)]
# Rooms of the library that need an extra.
NEED_NOTEBOOKS = ("data/simulation", "figures", "explorer", "identify/pictures.py")
NEED_STUDY = ("study",)
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}
SANITIZE = get_sanitize_patterns(
    (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _needed() -> set[str]:
    """Names of everything that the declared dependencies need on this machine."""
    found, todo = set(), list(DECLARED)
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in found:
            continue
        found.add(key)
        for line in metadata.requires(requirement.name) or []:
            inner = Requirement(line)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in {"", *requirement.extras}
            ):
                todo.append(inner)
    return {name for name, _ in found}


def test_conda_users_get_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (section,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    everything = f"-e .[{','.join(EXTRAS)}]"
    assert section[0] == "-c constraints.txt" and section[-1] == everything
    assert section[1:-1] == [requirement.name for requirement in DECLARED]
    assert f"EVERYTHING = {everything.removeprefix('-e ')}\n" in (ROOT / "Makefile").read_text()
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python=")]
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["requires-python"])


def test_every_dependency_is_pinned_once_and_its_pin_is_allowed():
    names = [canonicalize_name(line.split("==")[0]) for line in LINES]
    assert len(names) == len(set(names))
    assert sorted(_needed() - set(PINS)) == []
    for requirement in DECLARED:
        assert Version(PINS[canonicalize_name(requirement.name)]) in requirement.specifier


def test_every_pin_is_what_is_installed():
    # A local part (2.14.1+cpu) is another build of the same release.
    installed = {name: found for name in _needed() if (found := _installed(name)) is not None}
    different = {
        name: found for name, found in installed.items() if Version(found).public != PINS[name]
    }
    assert different == {}


def test_constraints_name_no_address_and_no_path():
    assert [
        line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)
    ] == []


def test_the_lock_file_has_a_hash_for_every_pin():
    """One file of each, for Linux x86-64 and Python 3.11, and no address."""
    lines = (ROOT / "lock.txt").read_text(encoding="utf-8").splitlines()
    locked = [line for line in lines if not line.startswith("#")]
    form = re.compile(r"([A-Za-z0-9._-]+==[A-Za-z0-9.]+) --hash=sha256:([0-9a-f]{64})")
    found = [form.fullmatch(line) for line in locked]
    assert [line for line, match in zip(locked, found, strict=True) if match is None] == []
    assert [match[1] for match in found] == LINES
    assert len({match[2] for match in found}) == len(LINES)


def _names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def _missing(code: dict[Path, str], declared: set[str]) -> dict[str, set[str]]:
    """Modules that the code imports and that no declared distribution provides, with the files."""
    providers = metadata.packages_distributions()
    own = {"hypertax", "benchmarks", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    missing: dict[str, set[str]] = {}
    for path, text in code.items():
        for node in ast.walk(ast.parse(text)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for module in (
                {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - own
            ):
                names = {canonicalize_name(name) for name in providers.get(module, [module])}
                if not names & declared:
                    missing.setdefault(module, set()).add(path.relative_to(ROOT).as_posix())
    return missing


def test_the_library_imports_what_its_own_list_declares():
    """Without extras: everything but the simulated data, the figures and the pipeline."""
    library = ROOT / "hypertax"
    rooms = {
        "notebooks": [
            path
            for room in NEED_NOTEBOOKS
            for path in [library / room, *(library / room).rglob("*.py")]
            if path.is_file()
        ],
        "study": [path for room in NEED_STUDY for path in (library / room).rglob("*.py")],
    }
    rooms["core"] = set(library.rglob("*.py")) - {*rooms["notebooks"], *rooms["study"]}
    core = _names(CORE)
    notebooks = core | _names([Requirement(line) for line in EXTRAS["notebooks"]])
    # The study runs the notebooks; papermill brings nbclient and nbformat.
    study = notebooks | _names([Requirement(line) for line in EXTRAS["study"]])
    study |= {"nbclient", "nbformat"}
    # A notebook's kernel brings IPython; elsewhere the library does not import it.
    for room, declared in (
        ("core", core | {"ipython"}),
        ("notebooks", notebooks),
        ("study", study),
    ):
        code = {path: path.read_text(encoding="utf-8") for path in rooms[room]}
        assert code and _missing(code, declared) == {}, room


def test_what_the_code_imports_is_declared():
    code = {
        path: path.read_text(encoding="utf-8")
        for folder in ("benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = "".join(
            "".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code"
        )
        code[path] = re.sub(r"(?m)^\s*[%!].*$", "", lines)
    # These come with pytest, papermill and snakemake, jupyterlab's kernel.
    carried = {"packaging", "nbclient", "nbformat", "nbconvert", "ipython", "ipykernel"}
    # A benchmark measures reading HDF5 only where somebody has installed it.
    carried |= {"h5py"}
    assert _missing(code, _names(DECLARED) | carried) == {}


def _sanitized(text: str) -> str:
    for pattern, replacement in SANITIZE:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("epoch 3: 12.4 s, 64 species", "epoch 3: 9 s, 64 species"),
        ("started 2026-01-02 10:11:12", "started 2027-03-04 1:02:03.5"),
        (
            "train:  50%|#####     | 6/12 [00:03<00:03, 1.9it/s]",
            "train: 100%|##########| 12/12 [00:07<00:00, 2.1it/s]",
        ),
        ("runs/hyperbolic-cl-sel-seed0-1a2b3c4d", "runs/hyperbolic-cl-sel-seed0-99999999"),
        ("/home/a/hypertax/runs/x", "/Users/b/work/hypertax/runs/x"),
        ("<Run at 0x7f00aa55bb10>", "<Run at 0x10aa55bb10>"),
        ('<td id="T_a1b2c_row0_col0">', '<td id="T_00fff_row0_col0">'),
        (
            "commit 0123456789abcdef0123456789abcdef01234567",
            "commit ffffffffffabcdef0123456789abcdef01234567",
        ),
    ],
)
def test_what_may_differ_between_two_runs_of_a_notebook_is_not_compared(one, other):
    assert _sanitized(one) == _sanitized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("macro accuracy 0.913", "macro accuracy 0.914"),
        ("2400 specimens, 300 species", "2401 specimens, 300 species"),
        ("hyperbolic-cl-sel-seed0-1a2b3c4d", "hyperbolic-cl-sel-seed1-1a2b3c4d"),
        ("c = 1.0 [0.1, 10]", "c = 4.0 [0.1, 10]"),
        ("p-distance 3-12 %", "p-distance 3-13 %"),
        ("order / family: 7/25", "order / family: 7/26"),
        ("ACGT 658", "ACGT 657"),
        ("tables/simulated/main.csv", "tables/simulated/other.csv"),
    ],
)
def test_what_a_notebook_reports_is_compared(one, other):
    assert _sanitized(one) != _sanitized(other)
