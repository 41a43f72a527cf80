"""Which runs figures show: by space and loss, the first seed, in the order of the rows."""

from types import SimpleNamespace

import pytest

from hypertax.study import load_rows, select_runs


def runs(group: str, seeds: int = 2) -> list:
    """Stand-ins for trained runs: their rows, seeds and configurations."""
    return [
        SimpleNamespace(row=row, seed=seed, run=SimpleNamespace(config=row.config(seed=seed)))
        for row in load_rows(group)
        for seed in range(seeds)
    ]


def test_the_core_rows_are_told_apart_by_their_configuration():
    shown = select_runs(runs("core"))
    labels = [row.label for row in load_rows("core")]
    assert list(shown.trained) == labels[1:]
    assert {member.seed for member in shown.trained.values()} == {0}
    assert list(shown.dynamics) == ["Hyperbolic CL", "Hyperbolic CL + SEL"]
    assert shown.curved.row.label == "Hyperbolic CL + SEL"
    assert shown.flat.row.label == "Euclidean CL"


def test_without_a_stacked_loss_the_first_hyperbolic_run_is_shown():
    without = [run for run in runs("modalities") if run.run.config.entailment == "none"]
    shown = select_runs(without)
    assert shown.curved.row.label == "Hyperbolic CL" and list(shown.dynamics) == ["Hyperbolic CL"]
    assert select_runs(runs("losses")).flat is None


def test_a_study_without_hyperbolic_rows_is_refused():
    flat = [member for member in runs("core") if member.run.config.space == "euclidean"]
    with pytest.raises(ValueError, match="no hyperbolic row"):
        select_runs(flat)
