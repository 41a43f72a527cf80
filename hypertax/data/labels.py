"""The labels of a table's rows: one name for each taxon, however it is written."""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np
import pandas as pd

from hypertax.data.columns import missing
from hypertax.data.names import Name, higher_name, is_of_a_species, species_of, usual_cases
from hypertax.data.remarks import Remarks, counted, legible
from hypertax.taxonomy import RANKS

_DOUBT = re.compile(r"\b(?:cf|cfr|aff|nr|near|sp|spp|prob|probably|poss|possibly)\b|\?", re.I)


def read_labels(raw: pd.DataFrame, remarks: Remarks) -> pd.DataFrame:
    """Order, family, genus and species of the rows.

    A filled species is never replaced by one that is derived: of genus and epithet, or of a
    scientific name. A name of no species gives the genus or higher taxon that it tells, where that
    field is empty.

    Args:
        raw: cleaned columns of a table (see `columns.ALIASES`). remarks: what was done to which
            rows is told here.
    """
    n = len(raw)
    labels = pd.DataFrame({rank: raw.get(rank, missing(n)) for rank in RANKS})
    for rank in RANKS[:-1]:
        usual = {name: higher_name(name) for name in labels[rank].dropna().unique()}
        labels[rank] = labels[rank].map(usual).astype("str")
    written = labels["species"].copy()
    known = {name for rank in RANKS[:-1] for name in labels[rank].dropna().unique()}
    names = _names(written, labels["genus"], known, column=True)
    names, written = _of_epithets(raw, labels, names, written, known)
    names, written = _of_scientific_names(raw, labels, names, written, known)
    if "qualifier" in raw:
        doubtful = raw["qualifier"].str.contains(_DOUBT, na=False).to_numpy()
        names = [
            name._replace(species=None, kind="none") if name and doubt else name
            for name, doubt in zip(names, doubtful, strict=True)
        ]
    usual = usual_cases({name for name in names if name})
    names = [
        name._replace(species=usual[name.species], kind="species")
        if name and name.species in usual
        else name
        for name in names
    ]
    labels["species"] = _column(names, "species")
    given = raw.get("species", missing(n)).notna()
    _remark(written, given, names, labels["species"], remarks)
    return _fill_above(labels, names)


def _names(
    texts: pd.Series, genera: pd.Series, known: set[str], *, column: bool
) -> list[Name | None]:
    """What each text says, None where there is none; each pair of text and genus is parsed once."""
    found: dict[Hashable, Name] = {}
    names: list[Name | None] = []
    has = texts.notna().to_numpy()
    genera = genera.astype(object).where(genera.notna(), None)
    for text, genus, given in zip(texts, genera, has, strict=True):
        if not given:
            names.append(None)
            continue
        if (text, genus) not in found:
            found[text, genus] = species_of(text, genus, known=known, column=column)
        names.append(found[text, genus])
    return names


def _of_epithets(
    raw: pd.DataFrame,
    labels: pd.DataFrame,
    names: list[Name | None],
    written: pd.Series,
    known: set[str],
) -> tuple[list[Name | None], pd.Series]:
    """Where no species is given: that of the generic name (else the genus) and the epithet."""
    if "epithet" not in raw:
        return names, written
    genus = raw.get("generic", missing(len(raw))).fillna(labels["genus"])
    made = (genus + " " + raw["epithet"]).where(written.isna())
    return _merged(names, _names(made, labels["genus"], known, column=True), written, made)


def _of_scientific_names(
    raw: pd.DataFrame,
    labels: pd.DataFrame,
    names: list[Name | None],
    written: pd.Series,
    known: set[str],
) -> tuple[list[Name | None], pd.Series]:
    """Where there is still none: that of the scientific name, if its rank is not a higher one."""
    if "name" not in raw:
        return names, written
    rank = raw.get("name_rank", missing(len(raw)))
    fits = {r: is_of_a_species(r) for r in rank.dropna().unique()}
    fit = rank.map(fits).fillna(True).to_numpy(bool)
    made = raw["name"].where(written.isna() & fit)
    # A lone word is a higher taxon there, never an epithet.
    made = made.where(made.str.contains(" ", na=False) | ~made.str.islower().fillna(False))
    told = _names(made, missing(len(raw)), known, column=False)
    return _merged(names, told, written, made)


def _merged(
    names: list[Name | None], others: list[Name | None], written: pd.Series, made: pd.Series
) -> tuple[list[Name | None], pd.Series]:
    both = [name or other for name, other in zip(names, others, strict=True)]
    return both, written.fillna(made)


def _column(names: list[Name | None], field: str) -> pd.Series:
    values = [getattr(name, field) if name else None for name in names]
    return pd.Series(values, dtype="str")


def _remark(
    written: pd.Series,
    given: pd.Series,
    names: list[Name | None],
    species: pd.Series,
    remarks: Remarks,
) -> None:
    kind = _column(names, "kind")
    # A scientific name of one word is no news.
    changed = (kind == "species") & (species != written)
    for rows, what in (
        (changed, "{} of a species written otherwise, such as {!r}, read as {!r}"),
        (
            (kind == "none") & (given | written.str.contains(" ", na=False)),
            "{} of no one species, such as {!r}, kept as the genus or higher taxon it tells",
        ),
        (
            (kind == "interim") & (species != written),
            "{} with a code, such as {!r}, read as {!r}",
        ),
        (kind == "kept", "{} not told to be scientific, such as {!r}, kept as written"),
    ):
        if (at := np.flatnonzero(rows)).size:
            text, read = legible(written[at[0]]), legible(species[at[0]])
            remarks.add(what.format(counted(at.size, "name"), text, read), at)


def _fill_above(labels: pd.DataFrame, names: list[Name | None]) -> pd.DataFrame:
    """The genus of a species, and what a name of no species tells, where that field is empty and
    nothing in the table speaks against it."""
    for rank in ("order", "family", "genus"):
        told = _column(names, rank).where(labels[rank].isna())
        if told.isna().all():
            continue
        tried = labels[rank].fillna(told)
        against = set()
        above = RANKS[: RANKS.index(rank)]
        for parent in above:
            parents = labels[parent].groupby(tried).nunique()
            against |= set(parents.index[parents > 1])
        if rank == "genus":
            genera = tried.groupby(labels["species"]).nunique()
            double = labels["species"].isin(set(genera.index[genera > 1]))
            against |= set(told[double].dropna())
        labels[rank] = labels[rank].fillna(told.mask(told.isin(against)))
    return labels
