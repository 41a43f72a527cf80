"""Recipes: what they give, what takes precedence over them, and where they are refused."""

from dataclasses import fields

import pytest

from hypertax.config import PRESETS, RunConfig
from hypertax.recipes import RECIPES
from hypertax.views import require_something_to_learn

SPACES = {"lorentz": {}, "euclidean": {"space": "euclidean", "entailment": "none"}}


def given(recipe, space):
    """What the recipe gives and the space does not take away."""
    return {name: value for name, value in RECIPES[recipe].parameters.items() if name not in SPACES[space]}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("space", SPACES)
def test_every_recipe_is_valid_and_gives_its_parameters(preset, recipe, space):
    config = RunConfig.create(preset, recipe=recipe, **SPACES[space])
    hyperbolic = {"entailment_weight", "entailment_text", "entailment_negatives", "entailment_margin", "axis_weight", "aperture"}
    hyperbolic = hyperbolic if space == "euclidean" else set()
    wanted = {name: value for name, value in given(recipe, space).items() if name not in hyperbolic}
    assert {name: getattr(config, name) for name in wanted} == wanted
    assert config.recipe == recipe and config.preset == preset
    untouched = set(PRESETS[preset]) - set(RECIPES[recipe].parameters)
    assert {name: getattr(config, name) for name in untouched} == {name: PRESETS[preset][name] for name in untouched}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_give_parameters_of_a_run_and_say_why(recipe):
    assert set(RECIPES[recipe].parameters) <= {field.name for field in fields(RunConfig)} - {"recipe", "preset", "seed", "dataset"}
    assert RECIPES[recipe].about.endswith(".")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("space", SPACES)
def test_paper_is_the_default(preset, space):
    assert RunConfig.create(preset, recipe="paper", **SPACES[space]) == RunConfig.create(preset, **SPACES[space])
    assert RunConfig.create(preset, recipe=None, **SPACES[space]) == RunConfig.create(preset, **SPACES[space])


def test_a_parameter_beside_a_recipe_takes_precedence():
    others = {"taxon_weight": 0.25, "text_rate": 0.5, "taxon_scale": 4.5, "axis_weight": 1.5, "aperture": 0.01, "entailment": "none"}
    config, plain = RunConfig.create("tiny", recipe="nested", **others), RunConfig.create("tiny", recipe="nested")
    assert {name: getattr(config, name) for name in others} == others
    assert {name for name, value in config.to_dict().items() if value != plain.to_dict()[name]} == set(others)
    # As with presets, None is not given.
    assert RunConfig.create("tiny", recipe="nested", **dict.fromkeys(others)) == plain


def test_an_unknown_recipe_is_named():
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe="best")
    assert str(error.value) == "recipe must be one of 'paper', 'taxa', 'lineage' or 'nested', not 'best'."


def test_method_names_tell_recipes_and_spaces_apart():
    found = {RunConfig.create("tiny", recipe=recipe, **SPACES[space]).method for recipe in RECIPES for space in SPACES}
    assert found == {
        *("hyperbolic-cl-sel", "hyperbolic-taxa", "hyperbolic-lineage", "hyperbolic-nested"),
        *("euclidean-cl", "euclidean-taxa", "euclidean-lineage", "euclidean-nested"),
    }
    assert RunConfig.create("tiny", recipe="nested", views="dna").method == "hyperbolic-nested-dna"
    assert RunConfig.create("tiny", entailment="cones", views="image").method == "hyperbolic-cl-cones-image"


def test_a_tree_holds_its_curvature():
    """Its radii are in units of 1/sqrt(c): a learned c would be a change of units."""
    parameters = {"curvature": 2.0, "learn_curvature": True, "scale_with_curvature": True}
    tree, lineage = (RunConfig.create("tiny", recipe=recipe, **parameters) for recipe in ("nested", "lineage"))
    assert (tree.curvature, tree.learn_curvature, tree.scale_with_curvature) == (2.0, False, False)
    assert (lineage.curvature, lineage.learn_curvature, lineage.scale_with_curvature) == (2.0, True, True)


def test_cone_angles_as_numbers():
    assert RunConfig.create("tiny", recipe="nested", cone_angles="80  60.5 40 2e1").cone_degrees == (80, 60.5, 40, 20)


@pytest.mark.parametrize(
    "angles",
    [
        *("87 67 50", "87 67 50 32 10", "32 50 67 87", "88 67 50 32", "87 67 66.6 32", "87 67 50 0.4"),
        *("a b c d", "nan 67 50 32", "", 87, (87, 67, 50, 32)),
    ],
    ids=str,
)
def test_impossible_cones_are_named(angles):
    """Too few, too many, rising, wider than what the specimens see, or nearer to each other than the slack."""
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe="nested", cone_angles=angles)
    want = "four numbers that fall by more than 0.5, below 87.7 (what aperture 0.02 and specimen_radius 4 leave) and above 0.5"
    assert str(error.value) == f"cone_angles must be {want}, not {angles!r}."
    # Without a tree they are not used.
    assert RunConfig.create("tiny", recipe="lineage", cone_angles=angles).text_encoder == "lineage"


@pytest.mark.parametrize("parameters", [{"aperture": 0.5}, {"specimen_radius": 0.1}, {"specimen_radius": 0.1, "aperture": 1.0}], ids=str)
def test_cones_that_the_radius_leaves_no_room_for_are_named(parameters):
    with pytest.raises(ValueError, match="cone_angles must be four numbers that fall by more than 0.5"):
        RunConfig.create("tiny", recipe="nested", **parameters)


@pytest.mark.parametrize("encoder", ["lineage", "tree"])
def test_a_table_of_taxa_has_no_full_text_and_no_pairs_of_texts(encoder):
    recipe = {"lineage": "lineage", "tree": "nested"}[encoder]
    with pytest.raises(ValueError) as error:
        RunConfig.create("tiny", recipe=recipe, full_text=True)
    assert str(error.value) == f"full_text must be False with text_encoder '{encoder}', which has no vector for a full text."
    # Where nothing is contrasted the full text is in no loss.
    assert RunConfig.create("tiny", recipe=recipe, full_text=True, contrastive_weight=0).text_encoder == encoder
    for entailment in ("pair", "stacked"):
        with pytest.raises(ValueError) as error:
            RunConfig.create("tiny", recipe=recipe, entailment=entailment)
        assert str(error.value) == f"entailment must be 'none' or 'cones' with text_encoder '{encoder}', not '{entailment}'."
    for entailment in ("none", "cones"):
        assert RunConfig.create("tiny", recipe=recipe, entailment=entailment).entailment == entailment


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
        RunConfig.create("tiny", recipe=recipe, contrastive_weight=0, entailment="none", taxon_weight=0)
    with pytest.raises(ValueError, match="full_text must be True where the specimens have one view alone"):
        require_something_to_learn(RunConfig.create("tiny", recipe=recipe, views="dna", taxon_weight=0), {"dna"})
