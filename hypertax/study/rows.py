"""The rows of the tables, read from `experiments.yaml`: which notebook makes each of them, with
which parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hypertax.config.run_config import RunConfig, in_space
from hypertax.data.views import require_something_to_learn
from hypertax.files import ROOT, shown

EXPERIMENTS = ROOT / "experiments.yaml"
TRAINING = {
    "02_train_euclidean": in_space("euclidean"),
    "03_train_hyperbolic": in_space("lorentz"),
}
"""The training notebooks, and what each of them fixes itself."""

_ELSEWHERE = ("dataset", "preset", "seed", "space", "output")


@dataclass(frozen=True)
class Row:
    """One row of a table: the same for every data set, preset and seed."""

    name: str
    """Short name for files: lower-case letters, digits, dots and hyphens."""
    label: str
    """Readable name for tables and figures."""
    notebook: str | None = None
    """`02_train_euclidean` or `03_train_hyperbolic`; None for the encoders before any joint
    training."""
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    """Parameters given to the notebook; fields of `RunConfig`."""

    def config(
        self, dataset: str = "simulated", seed: int = 0, preset: str = "tiny", **extra: Any
    ) -> RunConfig:
        """The configuration that the notebook makes of this row; `extra` takes the place of the
        row's own parameters.

        Raises:
            ValueError: one sentence naming the parameter and what is allowed.
        """
        fixed = TRAINING.get(self.notebook, in_space("euclidean"))
        return RunConfig.create(
            preset, **{**fixed, **self.parameters, **extra, "dataset": dataset, "seed": seed}
        )


def load_groups(path: Path = EXPERIMENTS) -> dict[str, list[Row]]:
    """All groups of rows, checked.

    Raises:
        ValueError: one sentence naming the file, the group and the row.
    """
    where = shown(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ValueError(f"{where} was not found; it lists the rows of the tables.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ValueError(
            f"{where}{place} is not valid YAML: {getattr(error, 'problem', error)}."
        ) from None
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{where} must hold groups of rows, such as `core:`.")
    groups = {group: _rows(f"{where}, {group}", rows) for group, rows in content.items()}
    seen: dict[str, Row] = {}
    for row in (row for rows in groups.values() for row in rows):
        if seen.setdefault(row.name, row) != row:
            raise ValueError(
                f"{where} has two different rows named {row.name}; give one of them another name."
            )
    return groups


def load_rows(group: str = "core", path: Path = EXPERIMENTS) -> list[Row]:
    """The rows of one group, in the file's order.

    Raises:
        ValueError: one sentence, if there is no such group or a row is wrong.
    """
    groups = load_groups(path)
    if group not in groups:
        raise ValueError(
            f"experiment must be a group of {shown(path)} ({', '.join(groups)}), not {group!r}."
        )
    return groups[group]


def applicable(rows: list[Row], views: set[str]) -> list[Row]:
    """The rows that can be trained on data with these views; `image` and `dna` both, or a row
    without text leaves nothing to contrast."""
    kept = []
    for row in rows:
        try:
            if row.notebook:
                require_something_to_learn(row.config(), views)
        except ValueError:
            continue
        kept.append(row)
    return kept


def _rows(where: str, rows: Any) -> list[Row]:
    if not isinstance(rows, dict) or not rows:
        raise ValueError(f"{where} must hold rows, each a name with a label.")
    made: list[Row] = []
    for name, entry in rows.items():
        here = f"{where}, {name}"
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
            raise ValueError(
                f"{here}: a row's name has lower-case letters, digits, dots and hyphens only."
            )
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise ValueError(f"{here} needs a label, the row's readable name in tables.")  # noqa: TRY004
        unknown = sorted(map(str, set(entry) - {"label", "notebook", "parameters"}))
        if unknown:
            raise ValueError(
                f"{here}: {unknown[0]} is not known; a row has label, notebook and parameters."
            )
        row = Row(name, entry["label"], entry.get("notebook"), entry.get("parameters") or {})
        _check(here, row)
        for other in made:
            if other.notebook == row.notebook and other.config() == row.config():
                raise ValueError(
                    f"{here} is the same run as {other.name}; change its parameters or leave it"
                    " out."
                )
            if other.label == row.label:
                raise ValueError(
                    f"{here} has the label of {other.name}; a table could not tell them apart."
                )
        made.append(row)
    return made


def _check(here: str, row: Row) -> None:
    if row.notebook is not None and row.notebook not in TRAINING:
        raise ValueError(f"{here}: notebook must be {' or '.join(TRAINING)}, not {row.notebook!r}.")
    if not isinstance(row.parameters, dict):
        raise ValueError(
            f"{here}: parameters must be names with values, such as {{curvature: 1.0}}."
        )  # noqa: TRY004
    for name in _ELSEWHERE:
        if name in row.parameters:
            raise ValueError(
                f"{here}: {name} is not a row's own parameter; it follows from the notebook or"
                " the command."
            )
    try:
        row.config()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{here}: {error}") from None


class _Loader(yaml.SafeLoader):
    """YAML in which a name given twice is an error instead of the first one's silent loss."""

    def construct_mapping(self, node, deep=False):
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name, (key, _) in reversed(list(zip(names, node.value, strict=True))):
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name} is there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def sweep(rows: list[Row]) -> tuple[str | None, dict[str, tuple[str, float]]]:
    """What a group of rows sweeps: the parameter that takes most values in it, of the width and the
    curvature, if it takes three or more.

    Returns the parameter's name, and for each row's label the line it belongs to and its value;
    (None, {}) where nothing is swept.
    """
    configs = {row.label: row.config() for row in rows if row.notebook}
    curved = {label: config for label, config in configs.items() if config.space == "lorentz"}
    values = {
        "embed_dim": {c.embed_dim for c in configs.values()},
        "curvature": {c.curvature for c in curved.values()},
    }
    parameter = max(values, key=lambda name: len(values[name]))
    if len(values[parameter]) < 3:
        return None, {}
    if parameter == "embed_dim":
        return parameter, {
            label: (label.split(",")[0], config.embed_dim) for label, config in configs.items()
        }
    lines = {
        label: "c learned" if config.learn_curvature else "c held"
        for label, config in curved.items()
    }
    scaled = {
        label: ", scaled" if config.scale_with_curvature else "" for label, config in curved.items()
    }
    return parameter, {
        label: (lines[label] + scaled[label], config.curvature) for label, config in curved.items()
    }
