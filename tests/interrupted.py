"""A training that is interrupted and begun again, for the tests of resuming."""

import numpy as np
import pandas as pd
import pytest

from hypertax.training.trainer import Trainer, train_here


def train_whole_and_interrupted(config, specimens, tmp_path, monkeypatch, stop):
    """Two runs of one configuration that must end alike: one in one go, one interrupted by the
    checkpoint at `stop`, (epoch, batch)."""
    whole = train_here(config, specimens, output=tmp_path / "whole", progress=False)
    save = Trainer.checkpoint

    def save_and_stop(self):
        save(self)
        if (self.at.epoch, self.at.batch) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "checkpoint", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_here(config, specimens, output=tmp_path / "cut", progress=False)
    monkeypatch.setattr(Trainer, "checkpoint", save)
    resumed = train_here(config, specimens, output=tmp_path / "cut", progress=False)
    pd.testing.assert_frame_equal(
        whole.history.drop(columns="seconds"),
        resumed.history.drop(columns="seconds"),
        check_exact=True,
    )
    assert np.array_equal(whole.embeddings().tangent, resumed.embeddings().tangent)
    return whole, resumed
