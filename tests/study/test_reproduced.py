"""Two versions of the tables: the same bytes, the same within the seeds' spread, or not."""

import pandas as pd

from hypertax.study.reproduced import compare


def table(means, sd=0.02):
    frame = pd.DataFrame(
        {
            "method": ["A", "B"],
            "rank": "species",
            "mean": means,
            "sd": sd,
            "n": 3,
            "runs": [f"a{means[0]}", "b"],
        }
    )
    return frame.to_csv(index=False).encode()


def test_the_same_bytes(tmp_path):
    (tmp_path / "main.csv").write_bytes(table([0.5, 0.6]))
    found = compare({tmp_path / "main.csv": table([0.5, 0.6])})
    assert not found.different and "byte for byte" in str(found)


def test_a_difference_is_measured_against_the_spread_of_the_seeds(tmp_path):
    (tmp_path / "main.csv").write_bytes(table([0.5, 0.6]))
    within = compare({tmp_path / "main.csv": table([0.515, 0.6])})
    assert (
        within.numbers == 2
        and within.beyond.empty
        and "all 2 means within the spread" in str(within)
    )
    outside = compare({tmp_path / "main.csv": table([0.53, 0.6])})
    assert outside.beyond["method"].tolist() == ["A"]
    assert "1 of 2 means by more than the spread of their seeds, at most by 0.03" in str(outside)


def test_without_a_spread_half_a_point_is_allowed(tmp_path):
    (tmp_path / "main.csv").write_bytes(table([0.5, 0.6], sd=None))
    assert compare({tmp_path / "main.csv": table([0.504, 0.6], sd=None)}).beyond.empty
    assert len(compare({tmp_path / "main.csv": table([0.507, 0.6], sd=None)}).beyond) == 1


def test_a_table_without_means_is_only_said_to_differ(tmp_path):
    (tmp_path / "splits.csv").write_text("split,value\na,1\n")
    found = compare({tmp_path / "splits.csv": b"split,value\na,2\n"})
    assert found.different and str(found).endswith("differ.")
