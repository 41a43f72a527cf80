"""What names a run: harmless edits of the library leave all names, harmful ones change them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hypertax.config.run_config import RunConfig
from hypertax.files import ROOT
from hypertax.training import behaviour, behaviour_cases, runs
from hypertax.training.identity import Listing, fingerprint, own_fingerprint, run_key

HERE = Path(__file__).parent
DATA = "fingerprint-of-some-data"
OF_CC6AEE4 = "d78157e021bf85d2b242447965901f94d67303b09ebd761e32cf36e46ae73fe6"
"""The behaviour that named the runs of that commit."""


def test_runs_have_the_names_that_they_had_at_commit_cc6aee4(monkeypatch):
    """`run_names.json` was written by that commit: all rows of experiments.yaml, both presets. Fields
    that were added since do not count at their defaults."""
    monkeypatch.setattr(runs, "behaviour", lambda: OF_CC6AEE4)
    for run in json.loads((HERE / "run_names.json").read_text()):
        config = RunConfig.create(run["preset"], **run["parameters"])
        assert runs.run_name(config, DATA, method=run["method"]) == run["name"], run


def test_a_field_that_was_added_later_counts_where_it_is_not_at_its_default():
    class Later:
        def __init__(self, added: int = 0) -> None:
            self.added = added

        def to_dict(self) -> dict:
            return {**RunConfig.create("tiny").to_dict(), "added": self.added}

    before = run_key(RunConfig.create("tiny"), DATA, "b", None)
    assert run_key(Later(), DATA, "b", None) == before
    assert run_key(Later(added=1), DATA, "b", None) != before


@pytest.mark.parametrize(
    ("parameters", "same"),
    [
        ({"data_seed": 5, "checkpoint_steps": 3, "dataset": "own.tsv"}, True),
        # At its default, but it has always counted: 0.1 is the margin anyway.
        ({"entailment_margin": 0.1}, True),
        ({"entailment_margin": 0.2}, False),
        ({"seed": 1}, False),
        ({"micro_batch": 8}, False),
    ],
)
def test_a_configuration_counts_but_for_what_the_data_say(parameters, same):
    key = run_key(RunConfig.create("tiny", **parameters), DATA, "b", None)
    assert (key == run_key(RunConfig.create("tiny"), DATA, "b", None)) == same


def test_data_behaviour_and_method_count():
    config = RunConfig.create("tiny")
    keys = {run_key(config, *given) for given in ((DATA, "b", None), ("x", "b", None))}
    keys |= {run_key(config, *given) for given in ((DATA, "c", None), (DATA, "b", "unaligned"))}
    assert len(keys) == 4


def test_the_committed_sources_are_listed():
    listing = Listing.read()
    assert own_fingerprint() in listing.fingerprints, (
        "The training code was edited. Run `make behaviour`: it shows whether training still"
        f" computes what commit {listing.commit[:7]} does, and lists the sources if so."
    )


# ---------------------------------------------------------------- edits of a copy of the library


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The folder of a copy of the package."""
    ignore = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(ROOT / "hypertax", tmp_path / "hypertax", ignore=ignore)


def change(path: Path, new: str) -> None:
    assert path.read_text() != new, path
    path.write_text(new)


def sub(path: Path, pattern: str, replacement: str) -> None:
    new, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count, f"{path.name} has no {pattern}"
    change(path, new)


def once(library: Path, pattern: str, replacement: str) -> None:
    """A change in the one file that has the pattern, wherever it is kept."""
    has = [p for p in library.rglob("*.py") if re.search(pattern, p.read_text(), re.MULTILINE)]
    assert len(has) == 1, f"{pattern} is in {len(has)} files"
    sub(has[0], pattern, replacement)


def everywhere(library: Path, old: str, new: str) -> None:
    for path in library.rglob("*.py"):
        path.write_text(re.sub(rf"\b{re.escape(old)}\b", new, path.read_text()))


def move_a_module(library):
    (library / "losses" / "contrastive.py").rename(library / "losses" / "attraction.py")
    everywhere(library, "hypertax.losses.contrastive", "hypertax.losses.attraction")
    sub(library / "losses" / "__init__.py", '"contrastive":', '"attraction":')


def rename_a_package(library):
    (library / "losses").rename(library / "objectives")
    everywhere(library, "hypertax.losses", "hypertax.objectives")


def split_a_module(library):
    path = library / "losses" / "contrastive.py"
    tree = ast.parse(path.read_text())
    last = tree.body.pop()
    others = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    back = ast.parse(f"from hypertax.losses.contrastive import {', '.join(others)}").body
    new = ast.Module([*imports, *back, last], [])
    (library / "losses" / "means.py").write_text(ast.unparse(new))
    there = f"from hypertax.losses.means import {last.name}\n"
    change(path, ast.unparse(tree).replace("import torch\n", f"import torch\n{there}", 1))


def join_two_modules(library):
    path, other = library / "model" / "encoders.py", library / "model" / "lineage_vectors.py"
    code = other.read_text().replace("from __future__ import annotations\n", "")
    change(path, path.read_text() + code)
    other.unlink()
    everywhere(library, "hypertax.model.lineage_vectors", "hypertax.model.encoders")


def rewrite_docstrings(library):
    path = library / "geometry" / "lorentz.py"
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Module) and ast.get_docstring(node):
            node.body[0].value.value = "Told in other words."
    change(path, ast.unparse(tree))


def add_docstrings(library):
    change(path := library / "data" / "images.py", path.read_text() + '"""Added."""\n')


def edit_comments(library):
    sub(library / "training" / "trainer.py", "^def ", "# Why it is there\ndef ")


def reformat(library):
    for path in library.rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text())) + "\n")


def reorder_imports(library):
    path = library / "training" / "trainer.py"
    lines = path.read_text().splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if re.match(r"(from hyper|import )[^(]*$", line)]
    for i, line in zip(places, [lines[i] for i in places][::-1], strict=True):
        lines[i] = line
    change(path, "".join(lines))


def add_an_import(library):
    first = "from __future__ import annotations\n"
    sub(
        library / "model" / "model.py",
        first,
        f"{first}import string\nfrom torch import nn as _nn\n",
    )


def import_from_the_package(library):
    sub(library / "training" / "objective.py", r"from hypertax\.losses\.\w+ import", _LOSSES)


_LOSSES = "from hypertax.losses import"


def edit_what_reads_tables(library):
    change(path := library / "data" / "table.py", path.read_text() + "CHANGED = 1\n")


HARMLESS = [
    *(move_a_module, rename_a_package, split_a_module, join_two_modules),
    *(rewrite_docstrings, add_docstrings, edit_comments, reformat),
    *(reorder_imports, add_an_import, import_from_the_package, edit_what_reads_tables),
]


def private_function(library) -> tuple[Path, str]:
    """A private function at the top of a module that training uses."""
    path = library / "data" / "batches.py"
    return path, re.findall(r"^def (_\w+)", path.read_text(), flags=re.MULTILINE)[0]


def rename_a_private_function(library):
    path, name = private_function(library)
    sub(path, rf"\b{name}\b", f"{name}_renamed")


def split_a_function(library):
    path, name = private_function(library)
    sub(path, rf"^def {name}\b", f"def {name}_itself")
    both = f"def {name}(*given):\n    return {name}_itself(*given)\n"
    change(path, f"{path.read_text()}\n\n{both}")


def add_a_field_at_its_default(library):
    path = library / "config" / "run_config.py"
    sub(path, "^    max_specimens(: .*)$", r"    added\1\n    max_specimens\1")


def restructure(library):
    found = r"^    peaks = (.*)\n"
    once(library, found, r"    found = \1\n    peaks = found\n")


EQUAL = [rename_a_private_function, split_a_function, add_a_field_at_its_default, restructure]


def change_the_margin(library):
    once(library, r"\bcones\.margin\b", "1.5 * cones.margin")


def change_the_initial_scale(library):
    once(library, r"-0\.5 \* math\.log\(dim", "-0.4 * math.log(dim")


def change_the_order_of_draws(library):
    once(library, r"^(    flips = .*\n)(    shift = .*\n)", r"\2\1")


def change_a_default_of_the_optimiser(library):
    once(library, r"return kind\(groups\)", "return kind(groups, eps=1e-6)")


def change_an_augmentation(library):
    once(library, r"^ROTATION = 45\.0", "ROTATION = 40.0")


def change_the_order_of_tokens(library):
    once(library, r'\["\[PAD\]", "\[UNK\]"\]', '["[UNK]", "[PAD]"]')


HARMFUL = [
    *(change_the_margin, change_the_initial_scale, change_the_order_of_draws),
    *(change_a_default_of_the_optimiser, change_an_augmentation, change_the_order_of_tokens),
]


@pytest.fixture(scope="module")
def listing() -> Listing:
    """As if the present sources were listed."""
    return Listing("constant", "0" * 40, (own_fingerprint(),))


@pytest.mark.parametrize("edit", HARMLESS)
def test_a_harmless_edit_leaves_all_names(library, listing, edit):
    edit(library)
    assert listing.behaviour_of(fingerprint(library.parent)) == listing.behaviour


@pytest.mark.parametrize("edit", EQUAL)
def test_an_edit_that_changes_nothing_leaves_all_names_once_it_is_listed(library, listing, edit):
    edit(library)
    found = fingerprint(library.parent)
    assert listing.behaviour_of(found) == found, "not listed yet: nothing is used again"
    listed = Listing("constant", listing.commit, (*listing.fingerprints, found))
    assert listed.behaviour_of(found) == "constant"


@pytest.mark.parametrize("edit", HARMFUL)
def test_a_harmful_edit_changes_all_names(library, listing, edit):
    edit(library)
    found = fingerprint(library.parent)
    assert found != own_fingerprint() and listing.behaviour_of(found) == found


@pytest.mark.slow
def test_make_behaviour_tells_both_kinds_apart(tmp_path):
    """Copies of the library are run as `make behaviour` runs two versions."""
    inputs, case = tmp_path / "inputs", "SEL whose negative pairs count"
    ((_, before),) = behaviour.run_cases(ROOT, inputs, tmp_path / "before", [case], "before")
    for edit in (*EQUAL, *HARMFUL):
        tree = tmp_path / edit.__name__
        shutil.copytree(ROOT / "hypertax", tree / "hypertax")
        edit(tree / "hypertax")
        ((_, now),) = behaviour.run_cases(tree, inputs, tree / "runs", [case], edit.__name__)
        where = behaviour.difference(before, now)
        assert (where is None) == (edit in EQUAL), (edit.__name__, where)


# ---------------------------------------------------------------- make behaviour


@pytest.fixture
def repository(library: Path) -> Path:
    """A git repository with the copy, which is the commit that its constant was set at."""
    root = library.parent
    _git(root, "init", "--quiet")
    _commit(root)
    Listing("constant", _git(root, "rev-parse", "HEAD"), ()).write(root)
    return root


def _git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(root), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _commit(root: Path) -> None:
    _git(root, "add", "hypertax")
    _git(root, "commit", "--quiet", "--message", "as it is")


def test_equal_sources_are_listed_and_others_are_not(repository, monkeypatch, capsys):
    change_the_margin(repository / "hypertax")
    compared = []

    def compare(old, new):
        compared.append((fingerprint(old), fingerprint(new)))
        return (
            "euclidean CL: history.csv, epoch 1, loss: 1 instead of 2."
            if len(compared) == 1
            else None
        )

    monkeypatch.setattr(behaviour, "compare", compare)
    assert behaviour.prove(repository) == 1
    assert "history.csv, epoch 1, loss: 1 instead of 2" in capsys.readouterr().out
    assert Listing.read(repository).fingerprints == ()
    assert compared == [(own_fingerprint(), fingerprint(repository))], "the commit, and the edit"
    assert behaviour.prove(repository) == behaviour.prove(repository) == 0
    assert Listing.read(repository).fingerprints == (fingerprint(repository),)
    assert Listing.read(repository).behaviour == "constant"
    assert len(_git(repository, "worktree", "list").splitlines()) == 1, "nothing is left behind"


def test_a_commit_that_is_not_there_is_one_sentence(repository):
    Listing("constant", "1" * 40, ()).write(repository)
    with pytest.raises(ValueError, match="Commit 1111111, .*git fetch --unshallow") as error:
        behaviour.prove(repository)
    assert "\n" not in str(error.value)


def test_a_new_constant_is_that_of_a_commit(repository):
    with pytest.raises(ValueError, match="commit the changes in hypertax/"):
        behaviour.set_new(repository)
    _commit(repository)
    behaviour.set_new(repository)
    found = fingerprint(repository)
    expected = Listing(found, _git(repository, "rev-parse", "HEAD"), (found,))
    assert Listing.read(repository) == expected


def test_what_two_runs_differ_in_is_said(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save_file

    def made(name: str, loss="0.5", weight=1.0, vector=1.0, seconds=1.0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        history = pd.DataFrame({"epoch": [0, 1], "loss": ["", loss], "seconds": [seconds] * 2})
        history.to_csv(folder / "history.csv", index=False)
        save_file({"w": torch.tensor([weight])}, folder / "model.safetensors")
        tangent = pa.FixedSizeListArray.from_arrays(pa.array([vector, 0.0], pa.float32()), 2)
        table = pa.table({"id": ["a"], "tangent": tangent})
        pq.write_table(table, folder / "embeddings.parquet")
        return folder

    one = made("one")
    assert behaviour.difference(one, made("same", seconds=2.0)) is None
    assert (
        behaviour.difference(one, made("loss", loss="0.25"))
        == "history.csv, epoch 1, loss: 0.25 instead of 0.5"
    )
    nearly = np.nextafter(np.float32(1), np.float32(2)).item()
    assert (
        behaviour.difference(one, made("weight", weight=nearly)) == "model.safetensors: w differs"
    )
    assert (
        behaviour.difference(one, made("vector", vector=nearly))
        == "embeddings.parquet: tangent differs"
    )


def test_loss_terms_are_those_of_commit_cc6aee4_on_any_machine(tmp_path):
    """A first step over all 32 training specimens; `loss_terms.json` was written by that commit.

    What `make behaviour` compares on one machine depends on the processor in its last digits.
    """
    behaviour_cases.write_specimens(tmp_path / "inputs")
    for case, expected in json.loads((HERE / "loss_terms.json").read_text()).items():
        folder = behaviour_cases.run_case(
            case, tmp_path / "inputs", tmp_path / "runs", epochs=1, batch_size=32
        )
        found = pd.read_csv(folder / "history.csv").iloc[1]
        for term, value in expected.items():
            assert found[term] == pytest.approx(value, rel=1e-4), (case, term)
