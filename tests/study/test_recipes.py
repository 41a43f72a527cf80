"""Recipes: what they give, what takes precedence over them, and where they are refused."""

import math
from dataclasses import fields

import pytest

from hypertax.config.recipes import RECIPES
from hypertax.config.run_config import LEAST_WIDEST, PRESETS, RunConfig
from hypertax.data.views import require_something_to_learn

SPACES = {"lorentz": {}, "euclidean": {"space": "euclidean", "entailment": "none"}}


def given(recipe, preset, space):
    """What the recipe gives and the space does not take away."""
    return {
        name: value
        for name, value in RECIPES[recipe].of(preset).items()
        if name not in SPACES[space]
    }


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("space", SPACES)
def test_every_recipe_is_valid_and_gives_its_parameters(preset, recipe, space):
    config = RunConfig.create(preset, recipe=recipe, **SPACES[space])
    hyperbolic = {
        "entailment_weight",
        "entailment_text",
        "entailment_negatives",
        "entailment_margin",
        "axis_weight",
        "aperture",
        "one_radius",
    }
    hyperbolic = hyperbolic if space == "euclidean" else set()
    wanted = {
        name: value
        for name, value in given(recipe, preset, space).items()
        if name not in hyperbolic
    }
    assert {name: getattr(config, name) for name in wanted} == wanted
    assert config.recipe == recipe and config.preset == preset
    untouched = set(PRESETS[preset]) - set(RECIPES[recipe].of(preset)) - hyperbolic
    assert {name: getattr(config, name) for name in untouched} == {
        name: PRESETS[preset][name] for name in untouched
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_give_parameters_of_a_run_and_say_why(recipe):
    allowed = {field.name for field in fields(RunConfig)} - {"recipe", "preset", "seed", "dataset"}
    assert all(set(RECIPES[recipe].of(preset)) <= allowed for preset in PRESETS)
    assert RECIPES[recipe].about.endswith(".")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("space", SPACES)
def test_paper_is_the_default(preset, space):
    assert RunConfig.create(preset, recipe="paper", **SPACES[space]) == RunConfig.create(
        preset, **SPACES[space]
    )
    assert RunConfig.create(preset, recipe=None, **SPACES[space]) == RunConfig.create(
        preset, **SPACES[space]
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_rates_settled_for_one_preset_are_not_given_to_another(recipe):
    """A rate that suits small encoders trained from scratch would wreck pretrained ones."""
    for preset in PRESETS:
        config = RunConfig.create(preset, recipe=recipe)
        tuned = RECIPES[recipe].tuned.get(preset, {})
        assert config.learning_rate == tuned.get("learning_rate", PRESETS[preset]["learning_rate"])
    assert set(RECIPES[recipe].tuned) <= set(PRESETS)


def test_a_parameter_beside_a_recipe_takes_precedence():
    others = {
        "taxon_weight": 0.25,
        "text_rate": 0.5,
        "taxon_scale": 4.5,
        "axis_weight": 1.5,
        "aperture": 0.01,
        "cone_angle": 20.0,
    }
    config, plain = (
        RunConfig.create("tiny", recipe="nested", **others),
        RunConfig.create("tiny", recipe="nested"),
    )
    assert {name: getattr(config, name) for name in others} == others
    assert {
        name for name, value in config.to_dict().items() if value != plain.to_dict()[name]
    } == set(others)
    # As with presets, None is not given.
    assert RunConfig.create("tiny", recipe="nested", **dict.fromkeys(others)) == plain


def test_an_unknown_recipe_is_named():
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe="best")
    assert (
        str(error.value)
        == "recipe must be one of 'paper', 'taxa', 'lineage', 'nested' or 'divergence', not 'best'."
    )


def test_method_names_tell_recipes_and_spaces_apart():
    found = {
        RunConfig.create("tiny", recipe=recipe, **SPACES[space]).method
        for recipe in RECIPES
        for space in SPACES
    }
    assert found == {
        *("hyperbolic-cl-sel", "hyperbolic-taxa", "hyperbolic-lineage", "hyperbolic-nested"),
        *("euclidean-cl", "euclidean-taxa", "euclidean-lineage", "euclidean-nested"),
        *("hyperbolic-divergence", "euclidean-divergence"),
    }
    assert RunConfig.create("tiny", recipe="nested", views="dna").method == "hyperbolic-nested-dna"
    cones = {"entailment": "cones", "text_encoder": "lineage", "full_text": False}
    assert (
        RunConfig.create("tiny", **cones, views="image").method
        == "hyperbolic-cl-cones-notext-image"
    )


def test_where_cones_nest_the_curvature_is_held():
    """Radii are in units of 1/sqrt(c): a learned c would be a change of units."""
    parameters = {"curvature": 2.0, "learn_curvature": True, "scale_with_curvature": True}
    nested, lineage = (
        RunConfig.create("tiny", recipe=recipe, **parameters) for recipe in ("nested", "lineage")
    )
    assert (nested.curvature, nested.learn_curvature, nested.scale_with_curvature) == (
        2.0,
        False,
        False,
    )
    assert (lineage.curvature, lineage.learn_curvature, lineage.scale_with_curvature) == (
        2.0,
        True,
        True,
    )
    # It is the loss that makes them, not the recipe's name.
    assert (
        RunConfig.create("tiny", recipe="lineage", entailment="cones", **parameters).learn_curvature
        is False
    )
    assert (
        RunConfig.create("tiny", recipe="nested", entailment="none", **parameters).learn_curvature
        is True
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_nested_cones_keep_a_dimension_for_the_root(preset):
    width = PRESETS[preset]["embed_dim"]
    nested, plain, flat = (
        RunConfig.create(preset, recipe="nested", **other)
        for other in ({}, {"entailment": "none"}, SPACES["euclidean"])
    )
    assert (nested.nested, nested.projected, nested.embed_dim) == (True, width - 1, width)
    assert all((config.nested, config.projected) == (False, width) for config in (plain, flat))


@pytest.mark.parametrize(
    ("parameters", "values", "widest"),
    [
        ({"aperture": 1.0}, "specimen_radius 4 and aperture 1", 26.5),
        ({"specimen_radius": 0.1, "aperture": 0.1}, "specimen_radius 0.1 and aperture 0.1", 0.0),
        (
            {"specimen_radius": 0.55, "aperture": 0.25},
            "specimen_radius 0.55 and aperture 0.25",
            26.7,
        ),
    ],
    ids=str,
)
def test_cones_that_the_radius_leaves_no_room_for_are_named(parameters, values, widest):
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe="nested", **parameters)
    assert str(error.value) == (
        f"{values} leave cones a half-angle of at most {widest:.1f} degrees: raise the one or"
        " lower the other until it is 30 at least."
    )
    # Without such cones neither is used so.
    assert (
        RunConfig.create("tiny", recipe="nested", entailment="none", **parameters).text_encoder
        == "lineage"
    )


def test_cones_just_wide_enough_are_accepted():
    """At a radius from which all that is at infinity is seen, the widest cone of K has the cosine
    tanh(asinh(2K))."""
    K = math.sinh(math.atanh(math.cos(math.radians(LEAST_WIDEST)))) / 2
    assert RunConfig.create(
        "tiny", recipe="nested", specimen_radius=12.0, aperture=0.999 * K
    ).nested
    with pytest.raises(ValueError, match="leave cones a half-angle of at most 30.0 degrees"):
        RunConfig.create("tiny", recipe="nested", specimen_radius=12.0, aperture=1.001 * K)


@pytest.mark.parametrize("encoder", ["transformer", "prajjwal1/bert-small"])
def test_cones_are_of_taxa_that_have_vectors_of_their_own(encoder):
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe="nested", text_encoder=encoder)
    assert (
        str(error.value)
        == f"text_encoder must be 'lineage' with entailment 'cones', not '{encoder}'."
    )


def test_a_table_of_taxa_has_no_full_text_and_no_pairs_of_texts():
    for recipe in ("lineage", "nested"):
        with pytest.raises(ValueError) as error:
            RunConfig.create("tiny", recipe=recipe, full_text=True)
        assert (
            str(error.value)
            == "full_text must be False with text_encoder 'lineage', which has no vector for a"
            " full text."
        )
        # Where nothing is contrasted the full text is in no loss.
        assert (
            RunConfig.create(
                "tiny", recipe=recipe, full_text=True, contrastive_weight=0
            ).text_encoder
            == "lineage"
        )
        for entailment in ("pair", "stacked"):
            with pytest.raises(ValueError) as error:
                RunConfig.create("tiny", recipe=recipe, entailment=entailment)
            assert (
                str(error.value)
                == "entailment must be 'none' or 'cones' with text_encoder 'lineage', not"
                f" '{entailment}'."
            )
        for entailment in ("none", "cones"):
            assert (
                RunConfig.create("tiny", recipe=recipe, entailment=entailment).entailment
                == entailment
            )


def test_the_euclidean_space_has_no_cones():
    with pytest.raises(ValueError, match="entailment must be 'none' in the Euclidean space"):
        RunConfig.create("tiny", recipe="nested", space="euclidean")


@pytest.mark.parametrize("recipe", ["taxa", "lineage", "nested"])
def test_taxa_alone_are_something_to_learn_from(recipe):
    """One view without its full text leaves the loss between views nothing; the taxa remain."""
    config = RunConfig.create("tiny", recipe=recipe, views="dna")
    require_something_to_learn(config, {"dna"})
    alone = RunConfig.create("tiny", recipe=recipe, contrastive_weight=0, entailment="none")
    assert alone.taxon_weight == 1
    with pytest.raises(ValueError, match="contrastive_weight must be above 0"):
        RunConfig.create(
            "tiny", recipe=recipe, contrastive_weight=0, entailment="none", taxon_weight=0
        )
    # The advice is one that the configuration can follow.
    without = RunConfig.create("tiny", recipe=recipe, views="dna", taxon_weight=0)
    remedy = "full_text must be True" if recipe == "taxa" else "taxon_weight must be above 0"
    with pytest.raises(ValueError, match=f"^{remedy} where the specimens have one view alone"):
        require_something_to_learn(without, {"dna"})


@pytest.mark.parametrize("space", SPACES)
def test_divergence_is_something_to_learn_from_barcodes_alone(space):
    config = RunConfig.create("laptop", recipe="divergence", **SPACES[space])
    assert config.divergence_weight == 1 and config.aligns and not config.one_radius
    require_something_to_learn(config, {"dna"})
    require_something_to_learn(config, {"dna", "image"})
    with pytest.raises(ValueError, match="^full_text must be True where the specimens have one"):
        require_something_to_learn(config, {"image"})
    alone = RunConfig.create("tiny", recipe="divergence", contrastive_weight=0, **SPACES[space])
    assert alone.aligns and alone.dna_encoder == "cnn"
