"""Parameters: impossible values fail with one sentence; equal runs have equal configurations."""

import pytest

from hypertax.config.run_config import PRESETS, RunConfig


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"curvature": -1}, "curvature must be a number from 0.001 to 1000, not -1."),
        ({"curvature": float("nan")}, "curvature must be"),
        ({"curvature": "1.0"}, "curvature must be"),
        (
            {"entailment": "nonsense"},
            "entailment must be one of 'none', 'pair', 'stacked' or 'cones', not 'nonsense'.",
        ),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0."),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"learn_curvature": "no"}, "learn_curvature must be True or False"),
        (
            {"space": "euclidean", "entailment": "stacked"},
            "entailment must be 'none' in the Euclidean space",
        ),
        ({"entailment": "none", "contrastive_weight": 0}, "contrastive_weight must be above 0"),
        ({"device": "tpu"}, "device must be one of"),
        ({"curvatur": 1.0}, "curvatur is not a parameter"),
        ({"dataset": ""}, "dataset must be a name or a path"),
        ({"taxon_weight": -1.0}, "taxon_weight must be a number of at least 0, not -1.0."),
        ({"taxon_scale": 0}, "taxon_scale must be a number from 0.001 to 1000, not 0."),
        ({"temperature": 0.001}, "temperature must be a number from 0.01 to 10, not 0.001."),
        ({"axis_weight": float("inf")}, "axis_weight must be a number of at least 0, not inf."),
        ({"specimen_radius": 13.0}, "specimen_radius must be a number from 0.1 to 12, not 13.0."),
        ({"cone_angle": 0.5}, "cone_angle must be a number from 1 to 90, not 0.5."),
        ({"cone_angle": 91}, "cone_angle must be a number from 1 to 90, not 91."),
        ({"cone_angle": "36 20"}, "cone_angle must be a number from 1 to 90, not '36 20'."),
        ({"cone_angles": "71 52 36 19.5"}, "cone_angles is not a parameter of a run"),
        (
            {"entailment": "cones", "space": "euclidean"},
            "entailment must be 'none' in the Euclidean space",
        ),
        (
            {"entailment": "cones"},
            "text_encoder must be 'lineage' with entailment 'cones', not 'transformer'.",
        ),
    ],
)
def test_impossible_values_are_named(parameters, words):
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", **parameters)
    message = str(error.value)
    assert words in message and "\n" not in message and message.endswith(".")


def test_unknown_preset():
    with pytest.raises(ValueError, match="preset must be one of 'tiny' or 'paper', not 'large'."):
        RunConfig.create("large")


@pytest.mark.parametrize("preset", PRESETS)
def test_none_takes_the_presets_value(preset):
    config = RunConfig.create(preset, epochs=None, image_encoder=None)
    assert {name: getattr(config, name) for name in PRESETS[preset]} == PRESETS[preset]


def test_euclidean_runs_do_not_differ_in_what_they_do_not_use():
    plain = RunConfig.create("tiny", space="euclidean", entailment="none")
    unused = {
        "curvature": 4.0,
        "aperture": 0.3,
        "learn_curvature": True,
        "axis_weight": 2.0,
        "specimen_radius": 3.0,
        "cone_angle": 20.0,
    }
    assert plain == RunConfig.create("tiny", space="euclidean", entailment="none", **unused)


def test_method_names_tell_objectives_apart():
    names = {
        RunConfig.create("tiny", space="euclidean", entailment="none").method: "euclidean-cl",
        RunConfig.create("tiny", entailment="none").method: "hyperbolic-cl",
        RunConfig.create("tiny", entailment="pair").method: "hyperbolic-cl-el",
        RunConfig.create("tiny", entailment="stacked").method: "hyperbolic-cl-sel",
        RunConfig.create(
            "tiny", entailment="stacked", contrastive_weight=0.0
        ).method: "hyperbolic-sel",
        RunConfig.create(
            "tiny", entailment="stacked", full_text=False
        ).method: "hyperbolic-cl-sel-notext",
        RunConfig.create(
            "tiny", entailment="cones", text_encoder="lineage", full_text=False
        ).method: "hyperbolic-cl-cones-notext",
    }
    assert all(found == wanted for found, wanted in names.items())
