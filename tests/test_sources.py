"""Which modules need which, and what a fingerprint of their syntax sees and does not see."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from hypertax.sources import fingerprint, modules, notebook_fingerprint, notebook_modules

LAZY = (
    "import lazy_loader\n"
    "__getattr__, __dir__, __all__ = lazy_loader.attach(\n"
    '    __name__, submod_attrs={"m": ["f"], "n": ["g"]})\n'
)
FILES = {
    "__init__.py": "",
    "a.py": "from hypertax.sub import b",
    "c.py": "",
    "lazy.py": "",
    "d.py": "import hypertax.c",
    "e.py": "x = 1",
    "sub/__init__.py": "from . import g",
    "sub/b.py": "from ..e import x\ndef f():\n    from hypertax import lazy",
    "sub/g.py": "",
    "rooms/__init__.py": LAZY,
    "rooms/m.py": "def f():\n    return 1",
    "rooms/n.py": "def g():\n    return 2",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "hypertax" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def notebook(path: Path, *cells: str) -> Path:
    made = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    nbformat.write(made, path)
    return path


def names(*found: str) -> list[str]:
    return ["hypertax", *(f"hypertax.{name}" for name in found)]


def test_what_a_notebook_needs_is_what_it_imports_directly_or_not(tmp_path):
    root = write(tmp_path, FILES)
    book = notebook(
        root / "n.ipynb", "%matplotlib inline\n!ls", "import numpy as np\nfrom hypertax import a\n"
    )
    needed = notebook_modules(book, root=root)
    assert list(needed) == names("a", "e", "lazy", "sub", "sub.b", "sub.g")
    assert needed["hypertax.sub"] == root / "hypertax" / "sub" / "__init__.py"


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("from hypertax.rooms import f", ["rooms", "rooms.m"]),
        ("from hypertax.rooms import n", ["rooms", "rooms.n"]),
        ("import hypertax.rooms.m", ["rooms", "rooms.m"]),
        ("from hypertax.rooms import *", ["rooms", "rooms.m", "rooms.n"]),
        ("import hypertax.rooms", ["rooms", "rooms.m", "rooms.n"]),
        ("from hypertax import rooms", ["rooms", "rooms.m", "rooms.n"]),
    ],
)
def test_a_lazy_export_leads_to_its_module_and_a_whole_package_to_all(tmp_path, code, needed):
    root = write(tmp_path, {**FILES, "start.py": code})
    assert list(modules("hypertax.start", root=root)) == sorted(names("start", *needed))


def test_what_is_left_out_is_not_followed(tmp_path):
    root = write(tmp_path, FILES)
    assert list(modules("hypertax.a", root=root, without=["hypertax.sub"])) == names("a")
    assert "hypertax.sub.b" in modules("hypertax.a", root=root, without=["hypertax.su"])


START = (
    "from hypertax.other import f\nimport math as m\nX = 1\ndef g(a=2):\n    return f(a) + m.pi\n"
)
OTHER = "def f(a):\n    return _h(a)\ndef _h(a):\n    return a\n"


def of(root: Path, start: str = START, other: str = OTHER, **more: str) -> str:
    files = {"__init__.py": "", "start.py": start, "other.py": other}
    files |= {f"{name}.py": text for name, text in more.items()}
    return fingerprint("hypertax.start", root=write(root, files))


def test_a_fingerprint_does_not_see_how_code_is_told_and_kept(tmp_path):
    one = of(tmp_path / "0")
    told = START.replace("X = 1", 'X = 1\n"""What X is."""  # one').replace(
        "    return f", '    "What g gives."\n    import math\n    return f'
    )
    assert of(tmp_path / "1", told) == one
    assert of(tmp_path / "2", "__all__ = ['g']\nimport os\n" + START) == one
    turned = "def g(a=2):\n    return f(\n        a\n    ) + m.pi\nimport math as m\nX = 1\n"
    assert of(tmp_path / "3", "from hypertax.other import f\n" + turned) == one
    first, second = OTHER.split("def _h")
    split = "from hypertax.third import _h\n" + first
    assert of(tmp_path / "4", other=split, third="def _h" + second) == one
    moved = START.replace("hypertax.other", "hypertax.elsewhere")
    (tmp_path / "5" / "hypertax").mkdir(parents=True)
    assert of(tmp_path / "5", moved, "", elsewhere=OTHER) == one


@pytest.mark.parametrize(
    ("start", "other"),
    [
        (START.replace("a=2", "a=3"), OTHER),
        (START.replace("X = 1", "X = True"), OTHER),
        (START.replace("X = 1", "X = 1.0"), OTHER),
        (START.replace("X = 1", "X: int = 1"), OTHER),
        (START.replace("f(a) + m.pi", "m.pi + f(a)"), OTHER),
        (START, OTHER.replace("return a", "return None")),
        (START, OTHER.replace("_h", "_k")),
        (START + "X += 1\n", OTHER),
        # The same text, with something else behind the name
        (START.replace("import math as m", "import cmath as m"), OTHER),
    ],
)
def test_a_fingerprint_sees_what_code_does(tmp_path, start, other):
    assert of(tmp_path / "1", start, other) != of(tmp_path / "0")


def test_an_import_counts_by_what_it_finds(tmp_path):
    """Two modules define the same name: taking it from the other one is a change."""
    both = {"third": "def f(a):\n    return -a\n"}
    start = START + "from hypertax import third\n"
    swapped = start.replace("from hypertax.other import f", "from hypertax.third import f")
    swapped += "from hypertax import other\n"
    assert of(tmp_path / "0", start, **both) != of(tmp_path / "1", swapped, **both)
    # Through a module, and by another way to the same definition
    through = "from hypertax import other as o\nimport math as m\ndef g(a):\n    return o.f(a)\n"
    assert of(tmp_path / "2", through, **both) != of(
        tmp_path / "3", through.replace("other as o", "third as o"), **both
    )
    again = {"again": "from hypertax.other import f\n"}
    assert of(tmp_path / "4", START.replace("hypertax.other", "hypertax.again"), **again) == of(
        tmp_path / "5"
    )


def test_equal_private_functions_in_two_modules_are_told_apart_by_what_they_use(tmp_path):
    """`f` reads the same in both modules and does not do the same."""
    a = "def f():\n    return _mean()\ndef _mean():\n    return 1\n"
    b = a.replace("return 1", "return 2")
    start = "from hypertax.other import f\nfrom hypertax import third\ndef g():\n    return f()\n"
    swapped = start.replace("other import f", "third import f").replace(
        "hypertax import third", "hypertax import other"
    )
    assert of(tmp_path / "0", start, a, third=b) != of(tmp_path / "1", swapped, a, third=b)
    assert of(tmp_path / "2", start, a, third=b) == of(tmp_path / "3", swapped, b, third=a)


def test_texts_of_an_f_string_count_however_they_are_cut(tmp_path):
    one = of(tmp_path / "0", START + 'Y = f"a{X}b" "c"\n')
    assert of(tmp_path / "1", START + 'Y = f"a{X}bc"\n') == one
    assert of(tmp_path / "2", START + 'Y = f"a{X}bd"\n') != one
    assert of(tmp_path / "3", START + 'Y = f"a{X}bc" ""\n') == one


def test_a_notebook_counts_by_its_code(tmp_path):
    root = write(tmp_path, FILES)
    cells = ["%matplotlib inline\nfrom hypertax.rooms import f", "x = f()", "x += 1"]
    book = notebook(root / "n.ipynb", *cells)
    whole, own = (notebook_fingerprint(book, imports=on, root=root) for on in (True, False))
    notebook(book, "", cells[0] + "  # why", "!ls\nx = f( )", cells[2])
    assert notebook_fingerprint(book, root=root) == whole
    (root / "hypertax" / "rooms" / "n.py").write_text("def g():\n    return 3")
    assert notebook_fingerprint(book, root=root) == whole, "it does not use g"
    (root / "hypertax" / "rooms" / "m.py").write_text("def f():\n    return 3")
    assert notebook_fingerprint(book, root=root) != whole
    assert notebook_fingerprint(book, imports=False, root=root) == own
    for changed in (
        [cells[0], cells[2], cells[1]],
        [cells[0].replace("rooms", "e"), *cells[1:]],
        cells[:2],
    ):
        notebook(book, *changed)
        assert notebook_fingerprint(book, imports=False, root=root) != own
