"""Scores with known values."""

import pandas as pd

from hypertax.evaluation.accuracy import harmonic_mean


def scores(
    values: dict[str, list[float]], *, ranks=("species",), pairings=("DNA to DNA",), **fixed
) -> pd.DataFrame:
    """Rows as of several runs: per method the seen value of each seed; unseen is half of it."""
    rows = []
    for method, seeds in values.items():
        for seed, seen in enumerate(seeds):
            for pairing in pairings:
                for rank in ranks:
                    for split, value in {
                        "seen": seen,
                        "unseen": seen / 2,
                        "harmonic": harmonic_mean(seen, seen / 2),
                    }.items():
                        row = {
                            "method": method,
                            "run": f"{method.lower().replace(' ', '-')}-seed{seed}",
                            "seed": seed,
                            "stage": "test",
                        }
                        row |= {
                            "protocol": "standard",
                            "ranking": "distance",
                            "pairing": pairing,
                            "rank": rank,
                            "k": 1,
                        }
                        rows.append(
                            row
                            | {
                                "average": "macro",
                                "split": split,
                                "value": value,
                                "queries": 10,
                                "classes": 5,
                            }
                            | fixed
                        )
    return pd.DataFrame(rows)
