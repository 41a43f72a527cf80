"""Baselines against literal loops, what is kept of them, and what is said where a program is missing."""

import shutil
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from hypertax.embeddings import Embeddings
from hypertax.evaluation import evaluate
from hypertax.evaluation.accuracy import accuracy
from hypertax.evaluation.answers import answer
from hypertax.evaluation.baselines import BASELINES, methods, run_baseline
from hypertax.evaluation.baselines import vsearch as program
from hypertax.evaluation.baselines.reads import aligned_reads, dna_start, kmer_shares
from hypertax.evaluation.baselines.stored import KEY_SETS, StoredAnswers
from hypertax.evaluation.baselines.vsearch import sintax, vsearch_nearest
from hypertax.evaluation.label_transfer import predictions
from hypertax.evaluation.open_world import novelty, open_world_answers
from hypertax.taxonomy import RANKS

needs_vsearch = pytest.mark.skipif(
    shutil.which("vsearch") is None, reason="The program vsearch is not installed"
)
HOSTILE = "Bad;tax=s:name,'$(touch x)' & <b>\t9"


def mutated(rng: np.random.Generator, read: str, share: float) -> str:
    bases = np.array(list(read))
    hit = rng.random(len(bases)) < share
    bases[hit] = rng.choice(list("ACGT"), hit.sum())
    return "".join(bases)


def specimens(seed: int = 0, length: int = 200) -> pd.DataFrame:
    """Barcodes on a tree of 3 orders, 6 families, 12 genera and 24 species, 4 of each in a split;
    some names are missing, one is hostile."""
    rng = np.random.default_rng(seed)
    root = "".join(rng.choice(list("ACGT"), length))
    rows, reads = [], {"": root}
    for species in range(24):
        lineage = [f"O{species // 8}", f"F{species // 4}", f"G{species // 2}", f"S{species}"]
        above = ""
        for rank, name in enumerate(lineage):
            if name not in reads:
                reads[name] = mutated(rng, reads[above], (0.3, 0.2, 0.1, 0.06)[rank])
            above = name
        kinds = ("seen", "val_unseen", "test_unseen")
        kind = kinds[species % 3]
        splits = (
            ["train_seen"] * 3 + ["seen_keys", "val_seen", "test_seen"]
            if kind == "seen"
            else [kind, kind, f"{kind}_keys"]
        )
        names = [HOSTILE if name == "S3" else name for name in lineage]
        for i, split in enumerate(splits):
            row = dict(zip(RANKS, names, strict=True))
            if rng.random() < 0.1:
                row["genus"] = None
            read = mutated(rng, reads[f"S{species}"], 0.02)
            rows.append({"sampleid": f"{species}-{i}", "barcode": read, "split": split, **row})
    frame = pd.DataFrame(rows).assign(image=None)
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def nearest_by(frame: pd.DataFrame, query: str, splits, likeness) -> str:
    """The id of the key of the largest likeness, the first of equals."""
    keys = frame[frame["split"].isin(splits)]
    read = frame.set_index("sampleid").loc[query, "barcode"]
    values = [round(likeness(read, key), 9) for key in keys["barcode"]]
    return keys["sampleid"].iloc[int(np.argmax(values))]


def equal(one: str, other: str) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def first_keys(source, frame: pd.DataFrame, which: str) -> dict[str, str]:
    queries = source.select("dna", ["test_seen", "test_unseen"])
    keys = source.select("dna", list(KEY_SETS[which]))
    found = answer(queries, keys)
    ids = keys.table["id"].to_numpy()[found.keys[:, 0]]
    return dict(zip(queries.table["id"], ids, strict=True))


def test_the_nearest_6_mers_are_those_of_a_loop():
    frame = specimens()
    frame.loc[0, "barcode"] = frame.loc[0, "barcode"][:50] + "N" + frame.loc[0, "barcode"][51:]

    def counts(read):
        found: dict[str, int] = {}
        for start in range(len(read) - 5):
            word = read[start : start + 6]
            if "N" not in word:
                found[word] = found.get(word, 0) + 1
        return found

    def unit(read):
        found = counts(read)
        norm = np.sqrt(sum(v * v for v in found.values()))
        return {word: v / norm for word, v in found.items()}

    training = [unit(read) for read in frame.loc[frame["split"] == "train_seen", "barcode"]]
    words = sorted({word for read in frame["barcode"] for word in counts(read)})
    common = np.mean([[own.get(word, 0) for word in words] for own in training], axis=0)

    @cache
    def centred(read):
        own = unit(read)
        vector = np.array([own.get(word, 0) for word in words]) - common
        return vector / np.linalg.norm(vector)

    def cosine(one, other):
        return centred(one) @ centred(other)

    source = kmer_shares(frame)
    for query, key in first_keys(source, frame, "all").items():
        assert key == nearest_by(frame, query, KEY_SETS["all"], cosine)


@pytest.mark.parametrize("which", ["all", "seen", "unseen"])
def test_the_nearest_aligned_read_is_that_of_a_loop(which):
    frame = specimens()
    source = aligned_reads(frame)
    for query, key in first_keys(source, frame, which).items():
        assert key == nearest_by(frame, query, KEY_SETS[which], equal)


def test_accuracies_predictions_and_open_world_of_answers_agree():
    frame = specimens(1)
    source = aligned_reads(frame)
    found = predictions(source)
    scores = evaluate(source, ks=(1, 3))
    assert set(scores["ranking"]) == {"distance"} and set(scores["pairing"]) == {"DNA to DNA"}
    for row in scores[(scores["k"] == 1) & (scores["split"] != "harmonic")].itertuples():
        own = found[(found["protocol"] == row.protocol) & (found["split"] == row.split)]
        names = own[f"gt_{row.rank}"], own[f"pred_{row.rank}"]
        assert row.value == pytest.approx(accuracy(*names, average=row.average))
    by_id = frame.set_index("sampleid")
    for row in found.itertuples():
        assert row.species == by_id.loc[row.query, "species"]
        assert row.pred_species == by_id.loc[row.key, "species"]
    told = open_world_answers(source)
    assert set(told["score"]) == {"distance"}
    seen = first_keys(source, frame, "seen")
    for row in told[told["rank"] == "species"].itertuples():
        key = seen[row.query]
        assert row.predicted == by_id.loc[key, "species"]
        likeness = equal(by_id.loc[row.query, "barcode"], by_id.loc[key, "barcode"])
        # A few bases at the ends may be at no column.
        assert row.confidence == pytest.approx(likeness, abs=0.05)
    assert novelty(told)["auroc"].iloc[0] > 0.8


def test_the_start_reads_training_barcodes_alone():
    frame = specimens(2)
    vectors = dna_start(frame)
    assert isinstance(vectors, Embeddings)
    others = frame["split"] != "train_seen"
    changed = frame.assign(genus=frame["genus"].where(~others, "Other"))
    assert np.array_equal(dna_start(changed).tangent, vectors.tangent)


@needs_vsearch
def test_vsearch_finds_what_a_loop_finds_and_turns_reads():
    frame = specimens(3)
    turned = frame.index[frame["split"] == "test_unseen"][0]
    before = first_keys(vsearch_nearest(frame), frame, "all")
    for query, key in before.items():
        own = frame.set_index("sampleid").loc[[query, key], "barcode"]
        best = nearest_by(frame, query, KEY_SETS["all"], equal)
        other = frame.set_index("sampleid").loc[best, "barcode"]
        # Made without indels: the alignment can only find a better or the same identity.
        assert equal(own.iloc[0], own.iloc[1]) >= equal(own.iloc[0], other) - 0.011
    read = frame.loc[turned, "barcode"][::-1].translate(str.maketrans("ACGT", "TGCA"))
    frame.loc[turned, "barcode"] = read
    after = first_keys(vsearch_nearest(frame), frame, "all")
    assert after == before


@needs_vsearch
def test_sintax_names_ranks_with_support_and_no_name_reaches_the_program():
    frame = specimens(4)
    source = sintax(frame)
    queries = source.select("dna", ["test_seen", "test_unseen"])
    keys = source.select("dna", list(KEY_SETS["all"]))
    found = answer(queries, keys, 5)
    assert found.width == 1 and (found.keys == -1).all()
    right = found.names["species"][:, 0] == queries.table["species"].to_numpy(dtype=object)
    assert right.mean() > 0.8 and HOSTILE in set(found.names["species"][:, 0])
    for upper, lower in pairwise(RANKS):
        given = (found.confidence[lower] > 0) & (found.confidence[upper] > -np.inf)
        assert (found.confidence[upper] >= found.confidence[lower] - 1e-9)[given].all()
    assert set(evaluate(source)["k"]) == {1}
    same = answer(sintax(frame).select("dna", ["test_seen", "test_unseen"]), keys)
    assert np.array_equal(same.confidence["genus"], found.confidence["genus"])


@needs_vsearch
def test_a_program_that_fails_says_so_in_one_sentence(monkeypatch):
    monkeypatch.setattr(program, "ACCEPTS", "x")
    with pytest.raises(ValueError, match="VSEARCH ended with 1 .*: leave the baselines out"):
        vsearch_nearest(specimens())


def test_a_program_that_is_missing_leaves_a_row_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "PROGRAM", "no-such-program")
    result = run_baseline("vsearch", specimens(), tmp_path)
    assert result.missing == "not installed" and not result.source.available
    assert result.folder is None and not list(tmp_path.iterdir())


def test_what_was_computed_is_kept_and_read_again(monkeypatch, tmp_path):
    frame = specimens(5)
    first = {name: run_baseline(name, frame, tmp_path) for name in ("6-mers", "aligned-reads")}
    # What is kept is read, not made again.
    lost = {name: replace(BASELINES[name], make=None) for name in first}
    monkeypatch.setattr(methods, "BASELINES", lost)
    again = run_baseline("6-mers", frame, tmp_path)
    assert again.folder == first["6-mers"].folder
    assert np.array_equal(again.source.tangent, first["6-mers"].source.tangent)
    again = run_baseline("aligned-reads", frame, tmp_path)
    assert isinstance(again.source, StoredAnswers)
    pd.testing.assert_frame_equal(evaluate(again.source), evaluate(first["aligned-reads"].source))
    assert again.environment == first["aligned-reads"].environment
    monkeypatch.undo()
    other = run_baseline("6-mers", frame.assign(barcode=frame["barcode"].str[:150]), tmp_path)
    assert other.folder != again.folder
