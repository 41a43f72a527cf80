"""Tables of differences with more than one reference: to rows without training, and of joint training to
single views."""

import pandas as pd
import pytest

from hypertax.tables import baseline_table, joint_table


def differences(*rows):
    """Cells of macro top-1 at species as `compare` gives them: method, reference, pairing, protocol, split,
    difference, low, high, verdict."""
    names = "method reference pairing protocol split difference low high verdict".split()
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        rank="species", average="macro", queries=40, species=20, seeds=2, seeds_agreeing=2
    )


BETTER = ("DNA to DNA", "standard", "seen", 0.012, 0.004, 0.02, "better")
WORSE = ("image to image", "standard", "unseen", -0.03, -0.05, -0.01, "worse")
EVEN = ("DNA to DNA", "novel", "unseen", 0.001, -0.01, 0.012, "no difference shown")


def test_the_joint_row_stands_beside_the_single_row_of_each_pairing():
    table = joint_table(
        differences(("Both", "DNA", *BETTER), ("Both", "DNA", *EVEN), ("Both", "Image", *WORSE))
    )
    tidy = table.tidy.set_index(["pairing", "species"])
    assert tidy.loc[("DNA to DNA", "seen"), "shown"] == "+1.2 [+0.4, +2.0] *"
    assert tidy.loc[("DNA to DNA", "novel"), "shown"] == "+0.1 [−1.0, +1.2]"
    assert tidy.loc[("image to image", "unseen"), "shown"] == "−3.0 [−5.0, −1.0] *"
    assert tidy.loc[("image to image", "unseen"), "reference"] == "Image"
    assert "the view of the pairing alone" in table.note


def test_cells_of_another_average_and_harmonic_means_are_left_out():
    harmonic = differences(("Both", "DNA", "DNA to DNA", "standard", "harmonic", *BETTER[3:]))
    micro = differences(("Both", "DNA", *BETTER)).assign(average="micro")
    for frame in (harmonic, micro):
        with pytest.raises(ValueError, match="no rows of one view"):
            joint_table(frame)
        with pytest.raises(ValueError, match="no differences of macro"):
            baseline_table(frame)


def test_every_baseline_has_a_column_of_its_own():
    table = baseline_table(
        differences(("Ours", "VSEARCH", *BETTER), ("Ours", "Aligned reads", *BETTER))
    )
    assert set(table.tidy["minus"]) == {"VSEARCH", "Aligned reads"}
    assert set(table.tidy["species"]) == {"seen"}
    assert table.columns == ("pairing", "minus")
