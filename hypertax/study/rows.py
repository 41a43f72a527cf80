"""The rows of the tables, read from `experiments.yaml`: which notebook makes each of them, with
which parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hypertax.config.presets import DEFAULT_PRESET
from hypertax.config.run_config import RunConfig, in_space
from hypertax.data.views import require_something_to_learn
from hypertax.figures.looks import MARKERS, Look, looks_of
from hypertax.files import ROOT, shown

EXPERIMENTS = ROOT / "experiments.yaml"
TRAINING = {
    "02_train_euclidean": in_space("euclidean"),
    "03_train_hyperbolic": in_space("lorentz"),
}
"""The training notebooks, and what each of them fixes itself."""
BASELINE_ROWS = "baselines"
"""The section of rows that need no training; it is no group of an experiment."""

BOTH_VIEWS = "image+dna"

_FIELDS = ("label", "notebook", "parameters", "colour", "marker")
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
    look: Look | None = field(default=None, compare=False)
    """Colour and marker in figures. They do not count when rows are compared."""

    def config(
        self, dataset: str = "simulated", seed: int = 0, preset: str = DEFAULT_PRESET, **extra: Any
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


@dataclass(frozen=True)
class Sweep:
    """What a group of rows varies, and which rows belong to one line of its figure."""

    parameter: str
    """Field of `RunConfig`; a row's value is that of its configuration."""
    axis: str
    """The parameter's name in figures."""
    lines: dict[str, list[Row]]
    """A line's name and its rows."""

    def settings(self, rows: list[Row]) -> dict[str, tuple[str, float]]:
        """label -> (line, value) of those of the rows that are on a line."""
        return {
            row.label: (line, getattr(row.config(), self.parameter))
            for line, members in self.lines.items()
            for row in members
            if row in rows
        }

    def looks(self) -> dict[str, Look]:
        """line -> the look of its first row."""
        return {line: row.look for line, (row, *_) in self.lines.items() if row.look}


def published_place(name: str, preset: str) -> Path:
    """The folder of a data set's results at a preset, below `tables` and `figures`."""
    return Path(name) if preset == DEFAULT_PRESET else Path(name) / preset


def load_groups(path: Path = EXPERIMENTS) -> dict[str, list[Row]]:
    """All groups of rows, checked.

    Raises:
        ValueError: one sentence naming the file, the group and the row.
    """
    return {group: rows for group, (rows, _) in _load(path).items()}


def load_sweep(group: str, path: Path = EXPERIMENTS) -> Sweep | None:
    """What a group of rows sweeps, as its `sweep` says; None where nothing is swept.

    Raises:
        ValueError: one sentence, if there is no such group or something in the file is wrong.
    """
    return _group(group, path)[1]


def row_looks(rows: list[Row]) -> dict[str, Look]:
    """Colour and marker of the rows, by their labels and by their names.

    Rows without a look of their own get a free one.
    """
    given = {row.label: row.look for row in rows if row.look}
    looks = looks_of([row.label for row in rows], given)
    return {row.name: looks[row.label] for row in rows} | looks


def load_section(path: Path = EXPERIMENTS) -> list[Row]:
    """The rows of `BASELINE_ROWS`, each with a label and a look; none without the section.

    Raises:
        ValueError: one sentence naming the file and the row.
    """
    rows = []
    for name, entry in (_content(path).get(BASELINE_ROWS) or {}).items():
        here = f"{shown(path)}, {BASELINE_ROWS}, {name}"
        if not isinstance(entry, dict) or set(entry) != {"label", "colour", "marker"}:
            raise ValueError(f"{here} must have a label, a colour and a marker.")
        rows.append(Row(name, str(entry["label"]), look=_look(here, entry)))
    return rows


def _content(path: Path) -> dict[str, Any]:
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
    return content


def _load(path: Path) -> dict[str, tuple[list[Row], Sweep | None]]:
    where, groups = shown(path), {}
    for group, entries in _content(path).items():
        if group == BASELINE_ROWS:
            continue
        entries = dict(entries) if isinstance(entries, dict) else entries
        sweep = entries.pop("sweep", None) if isinstance(entries, dict) else None
        rows = _rows(f"{where}, {group}", entries)
        groups[group] = rows, sweep and _sweep(f"{where}, {group}, sweep", sweep, rows)
    seen: dict[str, Row] = {}
    for row in (row for rows, _ in groups.values() for row in rows):
        first = seen.setdefault(row.name, row)
        if first != row or first.look != row.look:
            raise ValueError(
                f"{where} has two different rows named {row.name}; give one of them another name."
            )
    return groups


def load_rows(group: str = "core", path: Path = EXPERIMENTS) -> list[Row]:
    """The rows of one group, in the file's order.

    Raises:
        ValueError: one sentence, if there is no such group or a row is wrong.
    """
    return _group(group, path)[0]


def _group(group: str, path: Path) -> tuple[list[Row], Sweep | None]:
    groups = _load(path)
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


def of_one_view(rows: list[Row]) -> list[tuple[Row, Row]]:
    """(row of both views, the same row with photographs or barcodes alone), of trained rows whose
    configurations differ in `views` and in nothing else."""
    trained = [(row, row.config().to_dict()) for row in rows if row.notebook]
    return [
        (joint, single)
        for joint, own in trained
        for single, other in trained
        if own["views"] == BOTH_VIEWS
        and other["views"] != BOTH_VIEWS
        and {**other, "views": BOTH_VIEWS} == own
    ]


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
            raise ValueError(  # noqa: TRY004
                f"{here} needs a label, the row's readable name in tables."
            )
        unknown = sorted(map(str, set(entry) - set(_FIELDS)))
        if unknown:
            raise ValueError(
                f"{here}: {unknown[0]} is not known; a row has {', '.join(_FIELDS[:-1])} and"
                f" {_FIELDS[-1]}."
            )
        row = Row(
            name,
            entry["label"],
            entry.get("notebook"),
            entry.get("parameters") or {},
            _look(here, entry),
        )
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
            if row.look and other.look and row.look.colour.lower() == other.look.colour.lower():
                raise ValueError(
                    f"{here} has the colour of {other.name}; a figure could not tell them apart."
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


def _look(here: str, entry: dict) -> Look | None:
    """A row's colour and marker, checked; None where it has neither."""
    if "colour" not in entry and "marker" not in entry:
        return None
    colour, marker = entry.get("colour"), entry.get("marker")
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise ValueError(
            f'{here}: colour must be hexadecimal in quotes, such as "#0072B2", not {colour!r}.'
        )
    if marker not in MARKERS:
        raise ValueError(f"{here}: marker must be one of {' '.join(MARKERS)}, not {marker!r}.")
    return Look(colour, marker)


def _sweep(here: str, entry: Any, rows: list[Row]) -> Sweep:
    """A group's `sweep`, checked: its lines name rows of the group that have its parameter."""
    if not isinstance(entry, dict) or set(entry) != {"parameter", "axis", "lines"}:
        raise ValueError(f"{here} must have parameter, axis and lines, and nothing else.")
    parameter, by_name = entry["parameter"], {row.name: row for row in rows}
    if not all(hasattr(row.config(), str(parameter)) for row in rows):
        raise ValueError(f"{here}: {parameter!r} is not a parameter of the training notebooks.")
    lines, on_a_line = {}, set()
    for line, names in entry["lines"].items():
        for name in names:
            if name not in by_name or not by_name[name].notebook:
                raise ValueError(f"{here}, {line}: {name!r} is not a trained row of this group.")
            if name in on_a_line:
                raise ValueError(f"{here}, {line}: {name} is on two lines; leave it on one.")
            on_a_line.add(name)
        lines[line] = [by_name[name] for name in names]
    return Sweep(parameter, entry["axis"], lines)


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
