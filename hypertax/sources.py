"""What the library's code says: which modules need which, and fingerprints of their syntax.

A fingerprint tells two versions of the code apart by what they can compute. It does not see
comments, docstrings, import statements, the names and places of files, or the order of definitions.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from hypertax.files import HOME

_LIBRARY = "hypertax"
_ROUNDS = 4
"""How many steps from use to use tell apart definitions of one text in two modules."""
_EXPORTS = {"__all__", "__dir__", "__getattr__", "__version__"}
"""Assigned at the top of a module, they say what others may import, as an import statement does."""


def fingerprint(*names: str, root: Path = HOME, without: Iterable[str] = ()) -> str:
    """SHA-256 of the definitions in the named modules and in all of the library that they import.

    Args:
        names: modules, such as `hypertax.training.trainer`; a package stands for all its exports.
        root: the folder that holds `hypertax`.
        without: modules and packages that are left out, together with what only they import.

    Returns:
        64 hexadecimal digits, the same on every machine and supported version of Python.
    """
    sources = _Sources(root, tuple(without))
    return sources.fingerprint((name, True) for name in names)


def modules(*names: str, root: Path = HOME, without: Iterable[str] = ()) -> dict[str, Path]:
    """The files of the named modules and of all of the library that they import, by module.

    What a package exports lazily counts where it is imported by name. A package that is imported
    as a whole counts with all its exports. Arguments as in `fingerprint`.
    """
    sources = _Sources(root, tuple(without))
    return sources.reach((name, True) for name in names)


def notebook_fingerprint(path: Path, *, imports: bool = True, root: Path = HOME) -> str:
    """SHA-256 of a notebook's code cells in their order, without comments; of what they import,
    whatever the order.

    Args:
        path: the notebook.
        imports: whether the definitions in all that the cells import from the library count, too.
        root: the folder that holds `hypertax`.
    """
    code, sources = _code(path), _Sources(root, ())
    module = _module(code, "")
    needed = sources.fingerprint(sources.needed(module)) if imports else ""
    places = sorted({json.dumps(place) for place in module.places})
    return _hash(json.dumps(_syntax(ast.parse(code))), *places, needed)


def notebook_modules(path: Path, *, root: Path = HOME) -> dict[str, Path]:
    """The files of the library that a notebook's cells import, directly or not, by module."""
    sources = _Sources(root, ())
    return sources.reach(sources.needed(_module(_code(path), "")))


def _code(notebook: Path) -> str:
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    # Lines of IPython's own (%magic, !command, help?) are no Python.
    return re.sub(r"^\s*[%!].*$|^.*\?\s*$", "", code, flags=re.MULTILINE)


@dataclass(frozen=True)
class _Statement:
    """A statement at the top of a module: its syntax, the names that it binds and those it uses.

    A use is a name and the attribute that is taken of it, None for the name itself.
    """

    syntax: str
    binds: frozenset[str]
    uses: frozenset[tuple[str, str | None]]


@dataclass
class _Module:
    """What one file says.

    A place is a module and a name in it, None for the module itself. bound: the place of each
    imported name. places: those that the module needs. exports: the submodule of each lazy export.
    """

    bound: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    places: list[tuple[str, str | None]] = field(default_factory=list)
    exports: dict[str, str] = field(default_factory=dict)
    statements: list[_Statement] = field(default_factory=list)

    @cached_property
    def definitions(self) -> dict[str, list[int]]:
        """The numbers of the statements that bind a name."""
        found: dict[str, list[int]] = {}
        for number, statement in enumerate(self.statements):
            for name in statement.binds:
                found.setdefault(name, []).append(number)
        return found


@lru_cache(maxsize=1024)
def _module(code: str, package: str) -> _Module:
    """package: the one in which relative imports begin."""
    module = _Module()
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.places.append((alias.name, None))
                top = alias.name.split(".")[0]
                module.bound[alias.asname or top] = (alias.name if alias.asname else top, None)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = above[: len(above) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                module.places.append((origin, alias.name))
                module.bound[alias.asname or alias.name] = (origin, alias.name)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "attach":
            for keyword in node.keywords:
                if keyword.arg == "submod_attrs":
                    for submodule, names in ast.literal_eval(keyword.value).items():
                        module.exports |= dict.fromkeys(names, submodule)
    for statement in tree.body:
        names = frozenset(_binds(statement))
        if not _silent(statement) and not (names and names <= _EXPORTS):
            syntax = json.dumps(_syntax(statement))
            module.statements.append(_Statement(syntax, names, frozenset(_uses(statement))))
    return module


def _binds(statement: ast.stmt):
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}


def _uses(statement: ast.stmt):
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id, None
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


def _silent(node: object) -> bool:
    """Whether a statement computes nothing: an import, a docstring, `pass`."""
    if isinstance(node, ast.If):
        # As left of `if TYPE_CHECKING:`
        return all(map(_silent, [*node.body, *node.orelse]))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _syntax(node: object) -> object:
    """A syntax tree as nested lists.

    Not by `ast.dump`, whose text depends on the version of Python.
    """
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", *_joined(node.values)]
    if isinstance(node, ast.AST):
        said = [type(node).__name__]
        for name, value in ast.iter_fields(node):
            value = _syntax(value) if name not in ("ctx", "kind", "type_comment") else None
            if value not in (None, []):
                said += [name, value]
        return said
    if isinstance(node, list):
        return [_syntax(one) for one in node if not _silent(one)]
    return node


def _joined(values: list[ast.expr]) -> list:
    """Parts of an f-string; neighbouring texts are one."""
    said: list = []
    for value in map(_syntax, values):
        if said and said[-1][0] == value[0] == "Constant":
            value = ["Constant", "str", repr(ast.literal_eval(said.pop()[2] + value[2]))]
        if value[-1] != "''":
            said.append(value)
    return said


class _Sources:
    """The files below a root."""

    def __init__(self, root: Path, without: tuple[str, ...]) -> None:
        self.root, self.without = root, without
        self._read: dict[str, tuple[Path, _Module] | None] = {}

    def read(self, name: str) -> tuple[Path, _Module] | None:
        """A module's file and what it says; None where there is none or it is left out."""
        if name not in self._read:
            self._read[name] = self._find(name)
        return self._read[name]

    def _find(self, name: str) -> tuple[Path, _Module] | None:
        left_out = any(f"{name}.".startswith(f"{one}.") for one in self.without)
        if left_out or name.split(".")[0] != _LIBRARY:
            return None
        base = self.root.joinpath(*name.split("."))
        if (path := base / "__init__.py").is_file():
            return path, _module(path.read_text(encoding="utf-8"), name)
        if (path := base.with_suffix(".py")).is_file():
            return path, _module(path.read_text(encoding="utf-8"), name.rpartition(".")[0])
        return None

    def place(self, module: str, name: str | None) -> tuple[str, str | None]:
        """Where something that is imported from a module is defined."""
        if name is None or self.read(f"{module}.{name}"):
            return (f"{module}.{name}" if name else module), None
        found = self.read(module)
        if found and name in found[1].exports:
            return self.place(f"{module}.{found[1].exports[name]}", name)
        if found and name not in found[1].definitions and name in found[1].bound:
            return self.place(*found[1].bound[name])
        return module, name

    def needed(self, module: _Module) -> list[tuple[str, bool]]:
        """The library's modules that a module imports, and whether as a whole."""
        found = []
        for origin, name in module.places:
            if origin.split(".")[0] != _LIBRARY:
                continue
            if name == "*":
                found.append((origin, True))
                continue
            where, inside = self.place(origin, name)
            # Importing through a module runs that one, too.
            found += [(origin, False), (where, inside is None)]
        return found

    def reach(self, needed: Iterable[tuple[str, bool]]) -> dict[str, Path]:
        """The files of modules, each needed as a whole or not, and of all that they import."""
        todo = list(needed)
        seen = set()
        found = {}
        while todo:
            name, whole = todo.pop()
            if (name, whole) in seen or not (read := self.read(name)):
                continue
            seen.add((name, whole))
            path, module = read
            if name not in found:
                found[name] = path
                todo += [(name.rpartition(".")[0], False), *self.needed(module)]
            if whole:
                todo += [(f"{name}.{submodule}", True) for submodule in module.exports.values()]
        return dict(sorted(found.items()))

    def fingerprint(self, needed: Iterable[tuple[str, bool]]) -> str:
        """SHA-256 of the definitions in all that `reach` finds."""
        told = {
            (name, number): statement
            for name in self.reach(needed)
            for number, statement in enumerate(self.read(name)[1].statements)
        }
        links = {key: self._links(key[0], statement) for key, statement in told.items()}
        digests = {key: _hash(statement.syntax) for key, statement in told.items()}
        for _ in range(_ROUNDS):
            digests = {
                key: _hash(
                    statement.syntax,
                    *sorted(
                        json.dumps([*use, *(digests.get(target, target) for target in targets)])
                        for use, targets in links[key]
                    ),
                )
                for key, statement in told.items()
            }
        return _hash(*sorted(set(digests.values())))

    def _links(self, name: str, statement: _Statement) -> list[tuple[tuple, list]]:
        """What the names that a statement uses stand for: of the library, the statements that
        define it; of another package, its name and the package's.

        An import is not counted by where it finds something, but by what it finds.
        """
        module = self.read(name)[1]
        links = []
        for used, attribute in statement.uses:
            if used not in module.bound:
                where, inside = name, used
            elif module.bound[used][0].split(".")[0] != _LIBRARY:
                origin = ".".join(filter(None, module.bound[used])).split(".")
                if attribute is None:
                    links.append(((used,), [f"{origin[0]}.{origin[-1]}"]))
                continue
            else:
                where, inside = self.place(*module.bound[used])
                if inside is None and attribute:
                    where, inside = self.place(where, attribute)
            found = self.read(where)
            if found and inside in found[1].definitions:
                numbers = found[1].definitions[inside]
                links.append(((used, attribute), [(where, number) for number in numbers]))
        return links


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
