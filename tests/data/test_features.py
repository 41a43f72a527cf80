"""Features in the place of photographs: the same rules for what cannot be read."""

import numpy as np
import pytest
import torch

from hypertax.data.features import FeatureViews
from hypertax.data.images import UnreadableImages


def made(bad, count=8):
    present = np.arange(count) >= bad
    values = np.random.default_rng(0).normal(size=(count, 3, 5)).astype(np.float16)
    return FeatureViews(values, present, [f"gone{n}.jpg" for n in range(bad)])


def test_the_first_view_is_that_of_evaluation_and_training_draws_one():
    found = made(1)
    rows = torch.tensor([0, 3, 5])
    view, has = found.view(rows, augment=False)
    assert torch.equal(view, torch.from_numpy(found.values[[0, 3, 5], 0].astype(np.float32)))
    assert has.tolist() == [False, True, True] and found.unreadable() == ["gone0.jpg"]
    rows = torch.full((60,), 4)
    drawn, _ = found.view(rows, augment=True)
    assert {*map(tuple, drawn.tolist())} == {*map(tuple, found.values[4].tolist())}


def test_too_many_unreadable_files_are_an_error_with_their_names():
    with pytest.raises(UnreadableImages, match=r"^2 of the 8 images tried .*gone0.jpg, gone1.jpg$"):
        made(2)
    assert len(made(10, 1000).unreadable()) == 10
    with pytest.raises(UnreadableImages, match="^11 of the 1,000"):
        made(11, 1000)
