"""Names of parameters: unknown ones are refused with the nearest, in notebooks too, and what a
notebook's reader does in the meantime is never mistaken for one."""

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from hypertax.config import RunConfig, parse_value
from hypertax.config.parameters import check_parameters, notebook_parameters, unknown_parameter
from hypertax.files import ROOT

OWN = ("download", "processes", "output")
CELL = '# Data\ndataset = "simulated"  # or a path\nseed = 0\ndownload = False\n'
FIRST = f'config = RunConfig.from_notebook(globals(), space="lorentz", also={OWN})'
IMPORT = "from hypertax.config import RunConfig, check_parameters"


@pytest.fixture
def kernel():
    """A notebook's kernel: `run(cell, ...)` runs cells one after the other, and raises what the
    last one raises."""
    shell = InteractiveShell()

    def run(*cells: str) -> dict:
        for cell in cells:
            found = shell.run_cell(cell, store_history=True)
        found.raise_error()
        return shell.user_ns

    yield run
    shell.history_manager.end_session()


def injected(**given) -> str:
    """The cell that papermill adds."""
    return "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("recip", "recip is not a parameter of this notebook; did you mean recipe?"),
        ("curvture", "curvture is not a parameter of this notebook; did you mean curvature?"),
        ("proceses", "proceses is not a parameter of this notebook; did you mean processes?"),
    ],
)
def test_a_misspelt_parameter_of_papermill_is_refused(kernel, name, sentence):
    with pytest.raises(ValueError) as error:
        kernel(CELL, injected(**{name: 1}), IMPORT, FIRST)
    assert str(error.value) == sentence


def test_a_name_added_to_the_parameters_cell_is_refused_and_so_is_the_notebooks_space(kernel):
    with pytest.raises(ValueError, match="tempratur .* did you mean temperature"):
        kernel(CELL + "tempratur = 0.1\n", IMPORT, FIRST)
    with pytest.raises(ValueError, match="^space is not a parameter of this notebook"):
        kernel(CELL, injected(space="euclidean"), FIRST)


def test_every_field_is_a_parameter_of_a_training_notebook(kernel):
    given = {"temperature": 0.1, "entailment": "pair", "curvature": 4, "processes": 1, "steps": 9}
    config = kernel(CELL, injected(**given), IMPORT, FIRST)["config"]
    assert (config.temperature, config.entailment, config.curvature) == (0.1, "pair", 4)
    assert config.steps == 9 and config.space == "lorentz"


def test_none_leaves_a_parameter_to_recipe_and_preset(kernel):
    config = kernel(CELL + "epochs = None\npreset = 'paper'\nrecipe = None", IMPORT, FIRST)[
        "config"
    ]
    assert config == RunConfig.create("paper")


def test_running_cells_again_never_fails(kernel):
    """Imports, results and notes of a reader are no parameters, nor is what was mended since."""
    later = "import math\nname = 'simulated'\nfor fold in range(3):\n    pass\nnote = 3"
    kernel(CELL, IMPORT, FIRST, later, "x = 3", FIRST, CELL, FIRST, "y = 1\nseed = 2", FIRST)
    with pytest.raises(ValueError):
        kernel(injected(recip="nested"), FIRST)
    kernel(injected(recipe="taxa"), FIRST)
    with pytest.raises(ValueError):
        kernel(CELL + "sed = 1", FIRST)
    assert kernel(CELL + "seed = 1", FIRST, FIRST)["config"].seed == 1


def test_other_notebooks_have_the_parameters_of_their_cell(kernel):
    check = "check_parameters(globals())"
    cell = 'dataset = "simulated"\nexperiment = "core"\nseeds = 1\n'
    kernel(cell, IMPORT, check, "x = 2", check, cell, injected(seeds=3), check, check)
    with pytest.raises(ValueError) as error:
        kernel(cell, injected(experimnt="core"), check)
    assert str(error.value) == (
        "experimnt is not a parameter of this notebook; did you mean experiment?"
    )


def test_without_a_history_plain_values_count():
    given = {"recip": "nested", "json": json, "_x": 1, "dataset": "simulated", "f": len}
    assert notebook_parameters(given) == (["recip", "dataset"], [])
    with pytest.raises(ValueError, match="did you mean recipe"):
        RunConfig.from_notebook(given, space="lorentz")
    check_parameters({"In": [""], "x": 1})


@pytest.mark.parametrize("space", ["lorentz", "euclidean"])
def test_a_notebooks_space_decides_about_cones(space):
    config = RunConfig.from_notebook({"recipe": "nested"}, space=space)
    assert config.nested == (space == "lorentz")
    if space == "euclidean":
        with pytest.raises(ValueError, match="entailment must be 'none' in the Euclidean space"):
            RunConfig.from_notebook({"entailment": "pair"}, space=space)


def test_the_sentence_names_all_parameters_where_none_is_near():
    assert unknown_parameter("zzz", ["seed", "epochs"], "x") == (
        "zzz is not a parameter of x; the parameters are epochs, seed."
    )


def test_values_of_a_command_line():
    assert [parse_value(text) for text in ("1", "1.0", "True", "None", "a b", "1e-3", "x/1")] == [
        1,
        1.0,
        True,
        None,
        "a b",
        1e-3,
        "x/1",
    ]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("0*.ipynb")), ids=lambda p: p.stem
)
def test_the_committed_notebooks_check_first_and_can_be_run_again(kernel, path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "globals()" in code[1]
    own = injected(rank="genus") if path.stem == "07_identify" else injected(data_seed=1)
    kernel(*code[:2], "name, x = 'simulated', 3", *code[:2], code[1], own, code[1])
    with pytest.raises(ValueError, match="did you mean output"):
        kernel(code[0], injected(outptu="x"), code[1])
    kernel(*code[:2])
