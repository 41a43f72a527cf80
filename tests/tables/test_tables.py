"""The layout of small tables letter by letter, what is marked, escapes, and the published
reference."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from score_cases import scores

from hypertax.data.split import SPLITS
from hypertax.evaluation.accuracy import harmonic_mean
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.tables.accuracy import main_table, novel_table, ranking_table, split_table, topk_table
from hypertax.tables.document import write_document
from hypertax.tables.published import published_clibd_table
from hypertax.tables.table import escape_latex, frame_table, write_table
from hypertax.taxonomy import RANKS

METHODS = {"Unaligned": 0.1, "Euclidean CL": 0.5, "Hyperbolic CL + SEL": 0.52}


def full_scores() -> pd.DataFrame:
    """Everything `evaluate` gives, three methods, two seeds, values from a formula."""
    rng = np.random.default_rng(0)
    parts = []
    for method, base in METHODS.items():
        for ranking in ("distance",) if "Eucl" in method else ("distance", "angle"):
            for k in (1, 3, 5):
                for average in ("micro", "macro"):
                    seeds = list(base + 0.1 * rng.random(2) + k / 100)
                    fixed = {"ranking": ranking, "k": k, "average": average}
                    parts.append(
                        scores({method: seeds}, ranks=RANKS, pairings=tuple(PAIRINGS), **fixed)
                    )
                    novel = scores(
                        {method: seeds},
                        ranks=RANKS[:3],
                        pairings=tuple(PAIRINGS),
                        protocol="novel",
                        **fixed,
                    )
                    parts.append(novel[novel["split"] == "unseen"])
    return pd.concat(parts, ignore_index=True)


def test_main_table_letter_by_letter():
    table = main_table(scores({"B": [0.2, 0.4], "A_1": [0.3, 0.9], "C": [0.5, 0.7]}))
    assert table.markdown() == (
        "| Method | Rank | DNA to DNA<br>Seen | DNA to DNA<br>Unseen | DNA to DNA<br>H.M. |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| B | species | <u>30.0 ± 14.1</u> | <u>15.0 ± 7.1</u> | <u>20.0 ± 9.4</u> |\n"
        "| A\\_1 | species | **60.0 ± 42.4** | **30.0 ± 21.2** | **40.0 ± 28.3** |\n"
        "| C | species | **60.0 ± 14.1** | **30.0 ± 7.1** | **40.0 ± 9.4** |\n"
    )
    assert table.latex() == (
        "\\begin{tabular}{llrrr}\n\\toprule\n"
        "\\multicolumn{2}{c}{} & \\multicolumn{3}{c}{DNA to DNA} \\\\\n"
        "Method & Rank & Seen & Unseen & H.M. \\\\\n\\midrule\n"
        "B & species & \\underline{30.0 $\\pm$ 14.1} & \\underline{15.0 $\\pm$ 7.1} &"
        " \\underline{20.0 $\\pm$ 9.4} \\\\\n"
        "A\\_1 & species & \\textbf{60.0 $\\pm$ 42.4} & \\textbf{30.0 $\\pm$ 21.2} &"
        " \\textbf{40.0 $\\pm$ 28.3} \\\\\n"
        "C & species & \\textbf{60.0 $\\pm$ 14.1} & \\textbf{30.0 $\\pm$ 7.1} & \\textbf{40.0"
        " $\\pm$ 9.4} \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def test_mean_sd_and_n_are_over_the_seeds():
    table = main_table(scores({"A": [0.2, 0.3, 0.7], "B": [0.1]}))
    seen = table.tidy[table.tidy["split"] == "seen"].set_index("method")
    assert seen.loc["A", "mean"] == pytest.approx(0.4)
    assert seen.loc["A", "sd"] == pytest.approx(np.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2))
    assert (seen.loc["A", "n"], seen.loc["B", "n"]) == (3, 1)
    assert "| B | species | 10.0 |" in table.markdown()
    assert table.seeds == "1 to 3, depending on the method"


def test_only_what_is_within_one_sd_of_the_best_is_underlined():
    table = main_table(scores({"near": [0.36], "best": [0.4, 0.5], "far": [0.3], "just": [0.38]}))
    seen = table.tidy[table.tidy["split"] == "seen"]
    marks = dict(zip(seen["method"], table.marks()[seen.index], strict=True))
    assert marks == {"near": "", "best": "best", "far": "", "just": "close"}  # 45.0 - 7.07 = 37.9
    assert set(main_table(scores({"alone": [0.4, 0.5]})).marks()) == {""}
    assert set(main_table(scores({"A": [0.4], "B": [0.5]})).marks()) == {"", "best"}


def test_order_of_rows_and_columns_is_that_of_methods_ranks_and_pairings():
    values = {"Zeta": [0.5], "Alpha": [0.4]}
    first = scores({"Zeta": [0.5]}, ranks=("species", "order"), pairings=("image to DNA",))
    rest = scores(values, ranks=("genus", "order"), pairings=("image to image", "DNA to DNA"))
    text = main_table(pd.concat([first, rest])).markdown().splitlines()
    assert re.findall(r"\| ([^|<]+)<br>Seen", text[0]) == [
        "DNA to DNA",
        "image to image",
        "image to DNA",
    ]
    names = [line.split(" | ")[:2] for line in text[2:]]
    assert names == [
        ["| Zeta", "order"],
        ["| ", "genus"],
        ["| ", "species"],
        ["| Alpha", "order"],
        ["| ", "genus"],
    ]
    assert text[4].split(" | ")[2:5] == ["–", "–", "–"] and text[5].endswith("| – | – | – |")


def test_missing_numbers_are_a_dash_and_an_empty_pairing_no_column():
    some = scores({"A": [0.5], "B": [0.4]}, pairings=("DNA to DNA", "image to DNA"))
    some.loc[(some["pairing"] == "image to DNA"), "value"] = np.nan
    some.loc[(some["method"] == "A") & (some["split"] == "unseen"), "value"] = np.nan
    table = main_table(some)
    assert "image" not in table.markdown()
    assert "| A | species | **50.0** | – | **33.3** |" in table.markdown()
    assert "& -- &" in table.latex()
    with pytest.raises(ValueError, match="no number for macro top-1"):
        main_table(some.assign(value=np.nan))
    with pytest.raises(ValueError, match="no number"):
        novel_table(some)


def test_every_layout_of_a_full_set_of_scores():
    everything = full_scores()
    shapes = {}
    for name, make in {
        "main": main_table,
        "novel": novel_table,
        "topk": topk_table,
        "ranking": ranking_table,
    }.items():
        table = make(everything)
        lines = table.markdown().splitlines()
        shapes[name] = (len(lines) - 2, lines[0].count("<br>"))
        assert lines[0].count("|") == lines[-1].count("|")
        assert table._repr_html_().count("<tr") == len(lines) - 2 + 2
        assert len(table.runs) == 2 * (2 if name == "ranking" else 3)
    assert shapes == {"main": (12, 9), "novel": (9, 6), "topk": (9, 9), "ranking": (8, 6)}
    assert re.findall(r"<br>([\w-]+)", topk_table(everything).markdown())[:3] == [
        "Top-1",
        "Top-3",
        "Top-5",
    ]
    assert re.findall(r"<br>(\w+)", ranking_table(everything).markdown())[:2] == [
        "Distance",
        "Angle",
    ]
    picked = everything[
        (everything["protocol"] == "standard")
        & (everything["ranking"] == "distance")
        & (everything["k"] == 1)
    ]
    for average in ("micro", "macro"):
        tidy = main_table(everything, average).tidy.set_index(
            ["method", "rank", "pairing", "split"]
        )["mean"]
        expected = (
            picked[picked["average"] == average]
            .groupby(["method", "rank", "pairing", "split"])["value"]
            .mean()
        )
        pd.testing.assert_series_equal(tidy.sort_index(), expected.sort_index(), check_names=False)


def test_stage_is_test_where_there_is_one():
    both = pd.concat([scores({"A": [0.5]}, stage="val"), scores({"A": [0.7]}, stage="test")])
    assert "70.0" in main_table(both).markdown()
    assert "50.0" in main_table(both, stage="val").markdown()
    assert "50.0" in main_table(both[both["stage"] == "val"]).markdown()


def test_two_runs_of_one_method_and_seed_are_refused():
    twice = pd.concat([scores({"A": [0.5]}), scores({"A": [0.6]}, run="other")])
    with pytest.raises(
        ValueError, match=r"'A' has several values for seed 0 \(runs: a-seed0, other\)"
    ):
        main_table(twice)


def test_split_table_counts():
    rows = [
        ("a", "a.jpg", "ACGT", "O", "F", "G", "G s", "seen_keys"),
        ("b", None, "ACGT", "O", None, "G", "G s", "train_seen"),
        ("c", "c.jpg", None, "O", "F", None, None, "no_split"),
        ("d", "d.jpg", "ACGT", "P", "F", "G", "G t", "train_seen"),
    ]
    specimens = pd.DataFrame(rows, columns=["sampleid", "image", "barcode", *RANKS, "split"])
    assert split_table(specimens).markdown() == (
        "| Split | specimens | images | barcodes | orders | families | genera | species |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| no\\_split | 1 | 1 | 0 | 1 | 1 | 0 | 0 |\n"
        "| train\\_seen | 2 | 1 | 2 | 2 | 1 | 1 | 2 |\n"
        "| seen\\_keys | 1 | 1 | 1 | 1 | 1 | 1 | 1 |\n"
        "| all | 4 | 3 | 3 | 2 | 1 | 1 | 2 |\n"
    )
    many = pd.concat([specimens] * 400, ignore_index=True)
    assert "| 1,600 |" in split_table(many).markdown()
    assert len(SPLITS) == 10


def test_frame_table_keeps_integers_apart_from_shares():
    frame = pd.DataFrame(
        {
            "level": ["order", "species"],
            "count": [7, 1234],
            "half_aperture": [1.0, 0.12345],
            "inside": [np.nan, 0.0],
        }
    )
    lines = frame_table(frame).markdown().splitlines()
    assert lines[0] == "| Level | count | half aperture | inside |"
    assert lines[2:] == ["| order | 7 | 1.00 | – |", "| species | 1,234 | 0.123 | 0.00 |"]
    with pytest.raises(ValueError, match="same 'level'"):
        frame_table(pd.concat([frame, frame]))


def test_published_reference_is_consistent_and_says_what_it_is():
    table = published_clibd_table()
    assert len(table.tidy) == 3 * 4 * 9
    wide = table.tidy.pivot(index=["aligned", "rank", "pairing"], columns="split", values="mean")
    # Seen and unseen are rounded to 0.1 points, which moves the harmonic mean of small values by as
    # much.
    for seen, unseen, harmonic in wide[["seen", "unseen", "harmonic"]].to_numpy():
        low, high = (
            harmonic_mean(max(seen - 6e-4, 0), max(unseen - 6e-4, 0)),
            harmonic_mean(seen + 6e-4, unseen + 6e-4),
        )
        assert low - 6e-4 <= harmonic <= high + 6e-4
    assert (
        "| image+DNA+text | species |" not in table.markdown()
    )  # the name stands at its first row
    assert (
        "|  | species | 95.6 | 90.4 | 92.9 | 59.3 | 45.0 | 51.2 | 51.6 | 8.6 | 14.7 |"
        in table.markdown()
    )
    for words in (
        "published elsewhere: CLIBD",
        "read off the project's figure",
        "macro is inferred",
        "BIOSCAN-1M",
    ):
        assert words in table.provenance()
    assert "measured here" not in table.provenance()


def test_written_files(tmp_path):
    table = main_table(scores({"A": [0.25, 0.75], "B&C": [0.1, 0.2]}))
    paths = write_table(
        table, "main", tmp_path / "simulated", caption="Top-1, 100 % of_all", note="Keys: all."
    )
    assert [p.name for p in paths] == ["main.csv", "main.md", "main.tex"]
    assert sorted(p.name for p in (tmp_path / "simulated").iterdir()) == sorted(
        p.name for p in paths
    )
    csv, markdown, tex = (p.read_text(encoding="utf-8") for p in paths)
    assert csv.splitlines()[:2] == [
        "method,rank,pairing,split,mean,sd,n,runs,source,dataset",
        "A,species,DNA to DNA,seen,0.5,0.353553,2,a-seed0 a-seed1,measured here,simulated",
    ]
    says = (
        "Keys: all. Data set: simulated. Seeds: 2. Numbers measured here. Mean ± standard"
        " deviation over the seeds, in %. "
    )
    says += (
        "Bold: best; underlined: within one standard deviation of the best. Runs: a-seed0,"
        " a-seed1, b&c-seed0, b&c-seed1."
    )
    assert markdown == f"**Top-1, 100 % of\\_all**\n\n{table.markdown()}\n{says}\n"
    assert (
        r"\caption{Top-1, 100 \% of\_all}" in tex
        and r"\label{tab:main}" in tex
        and r"B\&C & species" in tex
    )
    assert (
        r"Runs: a-seed0, a-seed1, b\&c-seed0, b\&c-seed1." in tex
        and r"$\pm$ standard deviation" in tex
    )
    assert tex.count("{") == tex.count("}")
    again = write_table(
        table, "main", tmp_path / "simulated", caption="Top-1, 100 % of_all", note="Keys: all."
    )
    assert [p.read_text(encoding="utf-8") for p in again] == [csv, markdown, tex]


def test_what_is_written_of_a_frame_and_of_published_numbers(tmp_path):
    frame = pd.DataFrame({"level": ["order"], "radius": [0.5]})
    csv, markdown, _ = write_table(
        frame, "geometry", tmp_path, caption="Geometry", dataset="bioscan-1m", seeds=1, runs=["r_1"]
    )
    assert (
        csv.read_text() == "level,quantity,value,runs,source,dataset\norder,radius,0.5,r_1,measured"
        " here,bioscan-1m\n"
    )
    assert markdown.read_text().endswith(
        "Data set: bioscan-1m. Seeds: 1. Numbers measured here. Runs: r\\_1.\n"
    )
    csv, markdown, tex = write_table(published_clibd_table(), "clibd", tmp_path, caption="CLIBD")
    # Whoever reads the figures learns that their DNA encoder was a mistake.
    for path in (markdown, tex):
        assert "Its authors call that a mistake" in path.read_text()
        assert "issue 33" in path.read_text()
    read = pd.read_csv(csv)
    assert (
        set(read["dataset"]) == {"BIOSCAN-1M, test queries"}
        and read["source"].str.startswith("published elsewhere").all()
    )
    assert read["value"].max() == 1


def test_latex_escapes():
    assert escape_latex(r"a_b & 50% #1 $x$ {y} ~ ^ \z <1> – ±") == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
        r" \textless{}1\textgreater{} -- $\pm$"
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    write_table(main_table(full_scores()), "main", tmp_path, caption="A & B_c 100 %")
    write_table(novel_table(full_scores()), "novel", tmp_path, caption="A < B ± C")
    document = write_document(tmp_path)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", document.name]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "(1 page," in done.stdout and "Overfull" not in done.stdout
    with pytest.raises(ValueError, match="holds no .tex table"):
        write_document(tmp_path / "nothing")


def test_every_number_names_the_runs_that_gave_it(tmp_path):
    made = full_scores()
    write_table(main_table(made), "main", tmp_path, caption="x")
    written = pd.read_csv(tmp_path / "main.csv").set_index(["method", "rank", "pairing", "split"])
    chosen = made[
        (made["k"] == 1)
        & (made["average"] == "macro")
        & (made["protocol"] == "standard")
        & (made["ranking"] == "distance")
    ]
    for cell, part in chosen.groupby(["method", "rank", "pairing", "split"]):
        assert written.loc[cell, "runs"].split() == part["run"].tolist()
        assert written.loc[cell, "mean"] == pytest.approx(part["value"].mean(), rel=1e-5)
