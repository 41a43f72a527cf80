"""Photograph and barcode together: in made vectors, where what is right is known."""

import numpy as np
import pandas as pd
import pytest

from hypertax.data.barcodes import AlignedReads
from hypertax.data.barcodes.codes import BEYOND
from hypertax.identify import Identifier
from hypertax.identify.reference import Library
from hypertax.identify.views import codes_of

WIDTH = 16


class MadeEmbedder:
    """Vectors near their species', with another noise for photographs and for barcodes; `truth` gives a
    specimen's species by its identifier."""

    modalities = ("image", "dna")
    name = "made"

    def __init__(self, truth: dict[str, str], noise: dict[str, float]) -> None:
        rng = np.random.default_rng(0)
        self.truth, self.noise, self.centre = truth, noise, {}
        for genus in sorted({name.split()[0] for name in truth.values()}):
            of_genus = rng.normal(size=WIDTH)
            for name in sorted({n for n in truth.values() if n.split()[0] == genus}):
                self.centre[name] = of_genus + 0.7 * rng.normal(size=WIDTH)

    def embed(self, table, progress=True):
        vectors = {}
        for modality, column in (("image", "image"), ("dna", "barcode")):
            rows = []
            for row in table.to_dict("records"):
                shown = row[column]
                if not isinstance(shown, str):
                    rows.append(np.full(WIDTH, np.nan))
                    continue
                # The content names the specimen that it is really of.
                seed = sum(map(ord, shown + modality)) * 7919 % 2**32
                noise = np.random.default_rng(seed).normal(size=WIDTH) * self.noise[modality]
                vector = self.centre[self.truth[shown]] + noise
                rows.append(vector / np.linalg.norm(vector))
            vectors[modality] = np.array(rows, dtype=np.float32).reshape(len(table), WIDTH)
        return AlignedReads.empty(len(table), 0), vectors


def specimens(count: int, first: int = 0) -> pd.DataFrame:
    rows = []
    for s in range(30):
        for i in range(first, first + count):
            name = f"{s}-{i}"
            lineage = {"order": "O", "family": f"F{s // 10}", "genus": f"G{s // 3}"}
            rows.append(
                {
                    "sampleid": name,
                    "image": name,
                    "barcode": name,
                    **lineage,
                    "species": f"G{s // 3} s{s}",
                }
            )
    return pd.DataFrame(rows).astype("object")


@pytest.fixture(scope="module")
def made():
    library, queries = specimens(6), specimens(3, first=6)
    every = pd.concat([library, queries])
    truth = dict(zip(every["sampleid"], every["species"], strict=True))
    embedder = MadeEmbedder(truth, {"image": 0.9, "dna": 0.5})
    return Identifier(embedder, Library.of(library, embedder)), queries


def right(answers, queries):
    return (answers["species"].to_numpy() == queries["species"].to_numpy()).mean()


def test_both_together_are_no_worse_than_the_better(made):
    identifier, queries = made
    both = identifier.identify(queries, progress=False)
    dna = identifier.identify(queries.assign(image=None), progress=False)
    image = identifier.identify(queries.assign(barcode=None), progress=False)
    assert set(both["evidence"]) == {"image+dna"}
    assert (set(dna["evidence"]), set(image["evidence"])) == ({"dna"}, {"image"})
    assert right(image, queries) < right(dna, queries) <= right(both, queries)


def test_a_specimen_with_nothing_has_its_row_and_its_reason(made):
    identifier, queries = made
    nothing = queries.iloc[:3].assign(image=None, barcode=None)
    answers = identifier.identify(nothing, progress=False)
    assert answers["materialSampleID"].tolist() == nothing["sampleid"].tolist()
    assert answers["taxonRank"].isna().all() and answers["evidence"].isna().all()
    assert answers["flags"].str.contains("no-evidence").all()


def test_a_mix_up_is_told(made):
    identifier, queries = made
    mixed = queries.assign(barcode=np.roll(queries["barcode"], 30))
    told = identifier.identify(mixed, progress=False)["flags"].fillna("")
    fine = identifier.identify(queries, progress=False)["flags"].fillna("")
    share = told.str.contains("modalities-disagree").mean()
    assert share > 0.2 and fine.str.contains("modalities-disagree").mean() < share / 5


def test_what_a_model_was_trained_on_is_not_held_out(made):
    identifier, _ = made
    table = identifier.library.table
    table = table.assign(trained=["yes" if i % 2 else None for i in range(len(table))])
    library = Library(table, identifier.library.codes, identifier.library.vectors)
    again = Identifier(identifier.embedder, library)
    for view, one in again.calibrations.items():
        held = one.held_out
        known = held[held["kind"] == "specimen"] if len(held) else held
        assert len(known) <= (table["trained"] != "yes").sum(), view


def test_a_view_of_photographs_sees_no_bases():
    codes = np.zeros((2, 5), dtype=np.uint8)
    assert (codes_of("image", codes) == BEYOND).all()
    assert (codes_of("dna", codes) == 0).all() and (codes_of("image+dna", codes) == 0).all()
