"""Cells letter by letter from hand-made numbers, what marks a difference, which runs a table names,
and inputs as training forms them."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from comparison_cases import cells
from random_embeddings import random_embeddings
from score_cases import scores

from hypertax.data.taxon_index import TaxonIndex
from hypertax.evaluation.comparison import BETTER, NEITHER, WORSE
from hypertax.evaluation.hierarchy import distance_correlation, hierarchy_scores
from hypertax.evaluation.members import each_run, study_predictions
from hypertax.evaluation.nesting import cone_nesting
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.study.rows import Row
from hypertax.study.runs import StudyRun, run_costs
from hypertax.tables.differences import difference_table, write_difference_tables
from hypertax.tables.inputs import text_inputs_table
from hypertax.tables.study import (
    ablation_table,
    correlation_table,
    cost_table,
    first_wrong_table,
    hierarchy_table,
    nesting_table,
)
from hypertax.tables.table import write_table
from hypertax.taxonomy import RANKS
from hypertax.training.runs import Run


def study(methods=("flat", "curved"), seeds=2) -> list:
    """Members as `hypertax.study.collect_runs` gives them, with embeddings and no folder."""
    made = []
    for i, label in enumerate(methods):
        for seed in range(seeds):
            embeddings = random_embeddings(
                "euclidean" if label == "flat" else "lorentz", seed=10 * i + seed
            )
            run = f"{label}-seed{seed}-0a"
            made.append(SimpleNamespace(method=label, seed=seed, name=run, embeddings=embeddings))
    return made


def lines(table) -> list[str]:
    return table.markdown().splitlines()


def test_difference_table_letter_by_letter(tmp_path):
    frame = cells(
        [
            ("standard", "DNA to DNA", "unseen", "species", BETTER),
            ("standard", "image to DNA", "unseen", "species", WORSE),
            ("standard", "DNA to DNA", "unseen", "genus", NEITHER),
            ("standard", "DNA to DNA", "seen", "species", WORSE),
            ("novel", "DNA to DNA", "unseen", "genus", WORSE),
        ]
    )
    table = difference_table(frame, runs=["new-seed0", "old_1"])
    assert lines(table) == [
        "| Method | Rank | DNA to DNA | image to DNA |",
        "| --- | --- | ---: | ---: |",
        "| New | genus | +0.2 [−2.0, +3.0] | – |",
        "|  | species | +5.0 [+1.0, +9.0] \\* | −5.0 [−9.0, −1.0] \\* |",
    ]
    assert lines(difference_table(frame, "seen"))[2:] == [
        "| New | species | −5.0 [−9.0, −1.0] \\* |"
    ]
    assert lines(difference_table(frame, protocol="novel"))[2:] == [
        "| New | genus | −5.0 [−9.0, −1.0] \\* |"
    ]
    csv, markdown, tex = write_table(
        table, "difference", tmp_path / "simulated", caption="Differences"
    )
    assert csv.read_text().splitlines()[:2] == [
        "method,reference,pairing,rank,verdict,queries,seeds,seeds_agreeing,value,low,high,runs,"
        "source,dataset",
        "New,Old,DNA to DNA,species,better,9,3,3,0.05,0.01,0.09,new-seed0 old_1,measured"
        " here,simulated",
    ]
    text = markdown.read_text()
    assert (
        "Difference to Old in points" in text
        and "\\* where the interval, before it is rounded, excludes" in text
    )
    assert text.endswith(
        "Data set: simulated. Seeds: 3. Numbers measured here. Runs: new-seed0, old\\_1.\n"
    )
    assert (
        r"species & +5.0 [+1.0, +9.0] * & $-$5.0 [$-$9.0, $-$1.0] * \\" in tex.read_text()
        and "−" not in tex.read_text()
    )


def test_an_asterisk_is_the_verdict_not_the_rounded_interval():
    row = {"low": 0.0001, "high": 0.03, "difference": 0.012}
    for verdict, expected in ((BETTER, "+1.2 [0.0, +3.0] \\*"), (NEITHER, "+1.2 [0.0, +3.0]")):
        frame = cells([("standard", "DNA to DNA", "unseen", "species", verdict)]).assign(**row)
        assert lines(difference_table(frame))[2] == f"| New | species | {expected} |"


def test_differences_that_are_not_there_or_are_to_several_references():
    frame = cells([("standard", "DNA to DNA", "unseen", "species", BETTER)])
    with pytest.raises(ValueError, match="no differences for novel, unseen, macro"):
        difference_table(frame, protocol="novel")
    with pytest.raises(ValueError, match=r"several references \(Old, Older\)"):
        difference_table(pd.concat([frame, frame.assign(reference="Older")]))


def hierarchies() -> pd.DataFrame:
    rows = []
    for method, seed, error in (("A", 0, 1.0), ("A", 1, 2.0), ("B_c", 0, 0.5)):
        row = {"method": method, "run": f"{method}-{seed}", "seed": seed}
        row |= {"protocol": "standard", "pairing": "DNA to DNA", "split": "unseen"}
        row |= {f"prefix_{rank}": 1 - 0.1 * i for i, rank in enumerate(RANKS)} | {
            "first_wrong_none": 0.7,
            "first_wrong_order": 0.0,
        }
        row |= {
            "first_wrong_family": 0.1,
            "first_wrong_genus": 0.1,
            "first_wrong_species": 0.1 * (1 + seed),
        }
        rows.append(row | {"tree_error": error, "lca_depth": 4 - error / 2})
    return pd.DataFrame(rows)


def test_hierarchy_tables_letter_by_letter():
    table = hierarchy_table(hierarchies())
    assert lines(table)[0] == (
        "| Method | Split | right to order | right to family | right to genus | right to species"
        " | tree error | ancestor's depth |"
    )
    assert lines(table)[2:] == [
        "| A | Unseen | 100.0 ± 0.0 | 90.0 ± 0.0 | 80.0 ± 0.0 | 70.0 ± 0.0 | 1.50 ± 0.71 | 3.25"
        " ± 0.35 |",
        "| B\\_c | Unseen | 100.0 | 90.0 | 80.0 | 70.0 | 0.50 | 3.75 |",
    ]
    assert (
        table.runs == ("A-0", "A-1", "B_c-0") and table.seeds == "1 to 2, depending on the method"
    )
    assert (
        table.provenance().startswith("DNA to DNA. Share of the queries in %")
        and "Mean ± standard deviation" in table.note
    )
    assert (
        lines(first_wrong_table(hierarchies()))[0]
        == "| Method | Split | order | family | genus | species | none |"
    )
    assert (
        lines(first_wrong_table(hierarchies()))[2]
        == "| A | Unseen | 0.0 ± 0.0 | 10.0 ± 0.0 | 10.0 ± 0.0 | 15.0 ± 7.1 | 70.0 ± 0.0 |"
    )
    with pytest.raises(ValueError, match="no run"):
        hierarchy_table(hierarchies(), "image to DNA")
    with pytest.raises(ValueError, match="'A' has several values for seed 0"):
        hierarchy_table(hierarchies().assign(seed=0))


def test_tables_of_real_measures_hold_their_means():
    members = study()
    metrics = hierarchy_scores(study_predictions(members))
    novel = hierarchy_table(metrics, "image to DNA", protocol="novel")
    assert "right to species" not in novel.markdown() and "right to genus" in novel.markdown()
    tidy = hierarchy_table(metrics, "image to DNA").tidy.set_index(["method", "split", "quantity"])[
        "mean"
    ]
    chosen = metrics[(metrics["pairing"] == "image to DNA") & (metrics["protocol"] == "standard")]
    expected = chosen.groupby(["method", "split"])["tree_error"].mean()
    for key, value in expected.items():
        assert tidy[(*key, "tree error")] == pytest.approx(value)
    correlations = each_run(
        members, lambda member: distance_correlation(member.embeddings, pairs=200)
    )
    table = correlation_table(correlations)
    assert (
        lines(table)[0]
        == "| Method | DNA to DNA<br>taxonomy | image to image<br>taxonomy | image to"
        " DNA<br>taxonomy |"
    )
    assert [row.split(" | ")[0] for row in lines(table)[2:]] == ["| flat", "| curved"] and len(
        table.runs
    ) == 4
    means = correlations.groupby(["method", "pairing"])["spearman"].mean()
    for row in table.tidy.itertuples():
        assert row.mean == pytest.approx(means[row.method, row.pairing])


def test_nesting_table_shows_counts_whole_and_shares_in_percent():
    row = {
        "rank": "genus",
        "edges": 1200,
        "unsaturated": 10,
        "nested": 0.25,
        "nested_strictly": 0.0,
        "sampled": 0.5,
        "sampled_whole": 0.25,
    }
    row |= {
        "siblings": 7,
        "siblings_unsaturated": 4,
        "siblings_apart": 1.0,
        "siblings_separated": np.nan,
    }
    frame = pd.DataFrame(
        [
            {"method": "m", "run": f"m{s}", "seed": s, **row, "unsaturated": 10 + 2 * s}
            for s in range(2)
        ]
    )
    table = nesting_table(frame)
    assert (
        lines(table)[2]
        == "| m | genus | 1,200 | 11 ± 1 | 25.0 ± 0.0 | 0.0 ± 0.0 | 50.0 ± 0.0 | 25.0 ± 0.0 | 4"
        " | 100.0 ± 0.0 | – |"
    )
    assert len(cone_nesting(random_embeddings()).columns) == len(row)


def test_cost_table_from_run_folders(tmp_path):
    members = []
    for label, seed, last, total in (
        ("Trained", 0, 24.0, 30.0),
        ("Trained", 1, 44.0, 52.0),
        ("Unaligned", 0, 4.0, 6.0),
    ):
        folder = tmp_path / f"{label}-{seed}"
        folder.mkdir()
        epochs = range(3) if label == "Trained" else range(1)
        history = [
            {"epoch": e, "step": 50 * e, "seconds": 4.0 + (last - 4) / 2 * e} for e in epochs
        ]
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
        facts = {
            "device": "cpu",
            "threads": 1,
            "seconds": total,
            "parameters": 1_283_505,
            "peak_memory_mib": 900 + seed,
        }
        (folder / "environment.json").write_text(json.dumps(facts))
        members.append(StudyRun(Row(label.lower(), label), seed, Run(folder)))
    table = cost_table(run_costs(members))
    assert lines(table) == [
        "| Method | Device | parameters | epochs | seconds | seconds per epoch | milliseconds"
        " per step | peak memory, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| Trained | cpu, 1 thread | 1,283,505 | 2 | 41 ± 16 | 15.00 ± 7.07 | 300 ± 141"
        " | 900 ± 1 |",
        "| Unaligned | cpu, 1 thread | 1,283,505 | – | 6 | – | – | 900 |",
    ]
    assert table.runs == ("Trained-0", "Trained-1", "Unaligned-0")


def test_ablation_table_letter_by_letter():
    values = {"With": [0.3, 0.5], "Base": [0.2, 0.4], "Without": [0.2]}
    standard = scores(values, ranks=("genus", "species"))
    novel = scores(
        {name: [v / 2 for v in own] for name, own in values.items()},
        ranks=RANKS[:3],
        protocol="novel",
    )
    other = scores({name: [0.9] for name in values}, average="micro")
    table = ablation_table(pd.concat([standard, novel[novel["split"] == "unseen"], other]), "Base")
    # seen v, unseen v / 2: H.M. 2v / 3; novel v / 4
    assert lines(table) == [
        "| Pairing | Method | species H.M. | novel genus | novel family |",
        "| --- | --- | ---: | ---: | ---: |",
        "| DNA to DNA | Base | 20.0 ± 9.4 | 7.5 ± 3.5 | 7.5 ± 3.5 |",
        "|  | With | 26.7 ± 9.4 (+6.7) | 10.0 ± 3.5 (+2.5) | 10.0 ± 3.5 (+2.5) |",
        "|  | Without | 13.3 (−6.7) | 5.0 (−2.5) | 5.0 (−2.5) |",
    ]
    assert "to Base, in points, not tested" in table.note and len(table.runs) == 5
    assert table.tidy.set_index(["method", "quantity"])["difference"][
        "With", "novel genus"
    ] == pytest.approx(0.025)
    both = ablation_table(scores(values, pairings=tuple(PAIRINGS)), "Without")
    assert [row.split(" | ")[1] for row in lines(both)[2:]] == ["Without", "With", "Base"] * 3
    with pytest.raises(
        ValueError, match="no scores of 'Nothing'; the methods are 'With', 'Base', 'Without'"
    ):
        ablation_table(standard, "Nothing")


def specimen_table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sampleid", "image", "barcode", *RANKS, "split"])


SPECIMENS = specimen_table(
    ("s1", "/x/s1.jpg", "ACGT" * 10, "O", "F", None, None, "no_split"),
    ("s2", None, "ACGTA", "O", None, None, None, "no_split"),
    ("s3", "/x/s3.jpg", "ACGTAC" * 9, "O", "F", "G", "G s", "train_seen"),
    ("s4", "/x/s4.jpg", "ACGTAC", "P", None, None, None, "no_split"),
    ("s5", "/x/s5.jpg", None, None, None, None, None, "no_split"),
)


def test_text_inputs_letter_by_letter(tmp_path):
    table = text_inputs_table(SPECIMENS, dataset="mine")
    assert lines(table)[2:] == [
        "| full | s3 | image encoder | s3.jpg |",
        "|  |  | DNA encoder | ACGTACACGTACACGTACACGTAC… (54 bases) |",
        "|  |  | text encoder, contrastive loss | O F G G s |",
        *(
            f"|  |  | text encoder, SEL: {rank} | {text} |"
            for rank, text in zip(RANKS, ("O", "F", "G", "G s"), strict=True)
        ),
        "|  |  | text encoder, SEL, cumulative: order | O |",
        "|  |  | text encoder, SEL, cumulative: family | O F |",
        "|  |  | text encoder, SEL, cumulative: genus | O F G |",
        "|  |  | text encoder, SEL, cumulative: species | O F G G s |",
        "| partial | s2 | DNA encoder | ACGTA… (5 bases) |",
        "|  |  | text encoder, contrastive loss | O |",
        "|  |  | text encoder, SEL: order | O |",
        "|  |  | text encoder, SEL, cumulative: order | O |",
        "| none | s5 | image encoder | s5.jpg |",
        "|  |  | text encoder, contrastive loss | – |",
        "|  |  | text encoder, SEL | – |",
        "|  |  | text encoder, SEL, cumulative | – |",
    ]
    csv, _, tex = write_table(table, "inputs", tmp_path, caption="Inputs")
    assert csv.read_text().splitlines()[:2] == [
        "labels,specimen,input,shown,quantity,source,dataset",
        "full,s3,image encoder,s3.jpg,given,,mine",
    ]
    assert r"\begin{tabular}{llll}" in tex.read_text() and "Numbers" not in tex.read_text()


def test_text_inputs_are_those_of_training():
    for cumulative, name in ((False, "SEL"), (True, "SEL, cumulative")):
        names = TaxonIndex(SPECIMENS, cumulative=cumulative)
        shown = text_inputs_table(SPECIMENS).tidy
        for row, sample in ((2, "s3"), (1, "s2"), (4, "s5")):
            own = shown[shown["specimen"] == sample].set_index("input")["shown"]
            full = names.full_text[row]
            assert own["text encoder, contrastive loss"] == (
                names.texts[full] if full >= 0 else "–"
            )
            given = [
                names.texts[names.taxon_text[taxon]] for taxon in names.lineage[row] if taxon >= 0
            ]
            assert list(own[own.index.str.startswith(f"text encoder, {name}:")]) == given


def test_kinds_of_specimen_that_are_not_there():
    table = text_inputs_table(SPECIMENS[2:3])
    assert "no specimen of this kind: partial, none." in table.note and set(
        table.tidy["labels"]
    ) == {"full", "none"}
    assert set(table.tidy.loc[table.tidy["labels"] == "none", "shown"]) == {"–"}
    assert "no specimen of this kind" not in text_inputs_table(SPECIMENS).note


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    members = study()
    metrics = hierarchy_scores(study_predictions(members))
    tables = {
        "difference": difference_table(
            cells([("standard", "DNA to DNA", "unseen", "species", WORSE)])
        ),
        "hierarchy": hierarchy_table(metrics),
        "correlation": correlation_table(
            each_run(members, lambda member: distance_correlation(member.embeddings, pairs=100))
        ),
        "ablation": ablation_table(scores({"A&B": [0.2, 0.3], "C_d": [0.4, 0.1]}), "A&B"),
        "inputs": text_inputs_table(SPECIMENS),
    }
    for name, table in tables.items():
        write_table(table, name, tmp_path, caption=f"{name} & 100 %")
    inputs = "".join(rf"\input{{{name}}}" for name in tables)
    (tmp_path / "all.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}"
        rf"\begin{{document}}{inputs}\end{{document}}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_difference_tables_of_all_kinds_of_species_are_written_together(tmp_path):
    given = [
        ("standard", "DNA to DNA", "unseen", "species", BETTER),
        ("standard", "DNA to DNA", "seen", "species", WORSE),
        ("novel", "DNA to DNA", "unseen", "genus", NEITHER),
    ]
    written = write_difference_tables(
        cells(given), tmp_path, together="all", each="against", dataset="mine", runs=["new-seed0"]
    )
    assert {path.name for path in tmp_path.iterdir()} == {"all.csv"} | {
        f"against_{kind}.{ending}"
        for kind in ("unseen", "seen", "novel")
        for ending in ("csv", "md", "tex")
    }
    assert len(pd.read_csv(tmp_path / "all.csv")) == 3
    for kind, verdict in (("unseen", BETTER), ("seen", WORSE), ("novel", NEITHER)):
        assert written[kind].tidy["verdict"].tolist() == [verdict]
        text = (tmp_path / f"against_{kind}.md").read_text()
        assert text.startswith(f"**Test, {kind} species: macro top-1 accuracy minus that of Old")
        assert "Data set: mine." in text and "new-seed0" in text
    with pytest.raises(ValueError, match="no differences for novel, unseen, macro"):
        write_difference_tables(cells(given[:2]), tmp_path)
