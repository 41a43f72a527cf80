"""Parameters: impossible values fail with one sentence; equal runs have equal configurations."""

import hashlib
import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from hypertax.config import PRESETS, RECIPES, RunConfig, in_space
from hypertax.config.limits import euclidean_values
from hypertax.config.run_config import PARAMETERS


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
        ({"curvatur": 1.0}, "curvatur is not a parameter of a run; did you mean curvature?"),
        ({"recip": "nested"}, "recip is not a parameter of a run; did you mean recipe?"),
        ({"zzz": 1}, "zzz is not a parameter of a run; the parameters are align_barcodes, "),
        (
            {"recipe": [1]},
            "recipe must be one of 'paper', 'taxa', 'lineage', 'nested' or 'divergence', not [1].",
        ),
        ({"curvature": True}, "curvature must be a number from 0.001 to 1000, not True."),
        ({"dataset": ""}, "dataset must be a name or a path"),
        ({"taxon_weight": -1.0}, "taxon_weight must be a number of at least 0, not -1.0."),
        ({"taxon_scale": 0}, "taxon_scale must be a number from 0.001 to 1000, not 0."),
        ({"temperature": 0.001}, "temperature must be a number from 0.01 to 10, not 0.001."),
        ({"axis_weight": float("inf")}, "axis_weight must be a number of at least 0, not inf."),
        ({"specimen_radius": 13.0}, "specimen_radius must be a number from 0.1 to 12, not 13.0."),
        ({"cone_angle": 0.5}, "cone_angle must be a number from 1 to 90, not 0.5."),
        ({"cone_angle": 91}, "cone_angle must be a number from 1 to 90, not 91."),
        ({"cone_angle": "36 20"}, "cone_angle must be a number from 1 to 90, not '36 20'."),
        (
            {"cone_angles": "71 52"},
            "cone_angles is not a parameter of a run; did you mean cone_angle?",
        ),
        (
            {"entailment": "cones", "space": "euclidean"},
            "entailment must be 'none' in the Euclidean space",
        ),
        (
            {"entailment": "cones"},
            "text_encoder must be 'lineage' with entailment 'cones', not 'transformer'.",
        ),
        (
            {"divergence_weight": 1.0},
            "dna_encoder must be 'aligned', or align_barcodes True, with divergence_weight above",
        ),
        ({"divergence_weight": -1}, "divergence_weight must be a number of at least 0, not -1."),
    ],
)
def test_impossible_values_are_named(parameters, words):
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", **parameters)
    message = str(error.value)
    assert words in message and "\n" not in message and message[-1] in ".?"


def test_unknown_preset():
    with pytest.raises(ValueError, match="one of 'laptop', 'tiny' or 'paper', not 'large'."):
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


def test_a_number_stays_as_it_was_given():
    """Names of runs depend on how a configuration is written: 1 and 1.0 are two."""
    for given in (1, 1.0, 2):
        config = RunConfig.create("tiny", curvature=given, learning_rate=1)
        assert json.dumps(config.to_dict()["curvature"]) == json.dumps(given)
        assert type(config.learning_rate) is int


@pytest.mark.parametrize(
    ("preset", "space", "recipe", "digest"),
    [
        ("tiny", "lorentz", "paper", "114d14303adb"),
        ("tiny", "euclidean", "taxa", "f3f4f383bfaf"),
        ("paper", "lorentz", "nested", "b2000cb1d535"),
    ],
)
def test_a_configuration_is_written_as_it_always_was(preset, space, recipe, digest):
    """Order, names and types of values of commit cc6aee4, to which committed runs belong; fields
    that were added since are at their defaults, which keep these runs what they were."""
    config = RunConfig.create(preset, recipe=recipe, **in_space(space)).to_dict()
    since = {"cached_views": 0, "align_barcodes": False, "one_radius": False, "dna_rate": 1.0}
    since |= {"divergence_weight": 0.0}
    assert {name: config.pop(name) for name in since} == since
    assert hashlib.sha256(json.dumps(config).encode()).hexdigest()[:12] == digest


def test_a_saved_configuration_is_read_again():
    config = RunConfig.create("paper", recipe="nested", curvature=4)
    assert RunConfig(**config.to_dict()) == RunConfig.from_dict(config.to_dict()) == config
    assert replace(config, seed=3).seed == 3 and [f.name for f in fields(RunConfig)] == list(
        config.to_dict()
    )
    with pytest.raises(ValueError, match=r"^curvatur is not .* did you mean curvature\?$"):
        RunConfig.from_dict({**config.to_dict(), "curvatur": 1})
    with pytest.raises(ValueError, match=r"^epochs must be a whole number of at least 1, not 0.$"):
        RunConfig.from_dict({**config.to_dict(), "epochs": 0})


def test_each_parameter_is_documented_and_its_default_is_allowed_or_filled():
    filled = {name for values in PRESETS.values() for name in values}
    for name, field in PARAMETERS.items():
        assert field.description, name
        assert f"    {name}: " in RunConfig.__doc__
        if name not in filled:
            assert RunConfig(**{name: field.default})


def test_what_has_no_meaning_in_euclidean_space_is_set_to_values_that_are_allowed():
    config = RunConfig.create("tiny", **in_space("euclidean"))
    given = euclidean_values(PARAMETERS)
    assert given["learn_curvature"] is False and given["curvature"] == 1.0
    assert {name: getattr(config, name) for name in given} == given


def test_recipes_give_what_is_allowed_in_both_spaces():
    for recipe in RECIPES:
        for space in ("lorentz", "euclidean"):
            assert RunConfig.create("tiny", recipe=recipe, **in_space(space)).recipe == recipe


def test_configuration_loads_no_torch():
    code = (
        "import sys, hypertax.config as c; c.RunConfig.create(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
