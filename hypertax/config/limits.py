"""The kinds of values that a parameter can have, and one sentence for each value that it cannot."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AllowInfNan, Field, Strict, ValidationError
from pydantic.fields import FieldInfo

from hypertax.config.parameters import unknown_parameter

# Strict: True is no number and "1" is none. A number that was given as an integer stays one, since
# the names of runs depend on how it is written.
Whole = Annotated[int, Strict()]
Number = Whole | Annotated[float, Strict(), AllowInfNan(False)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Strict(), Field(min_length=1)]


@dataclass(frozen=True)
class HyperbolicOnly:
    """Marks a parameter without a meaning in Euclidean space.

    otherwise: the value that it has there, so that two equal runs have equal configurations; None
    for the parameter's default.
    """

    otherwise: Any = None


def euclidean_values(fields: dict[str, FieldInfo]) -> dict[str, Any]:
    """The parameters that have no meaning in Euclidean space, each with its value there."""
    return {
        name: field.default if mark.otherwise is None else mark.otherwise
        for name, field in fields.items()
        for mark in field.metadata
        if isinstance(mark, HyperbolicOnly)
    }


def first_sentence(error: ValidationError, fields: dict[str, FieldInfo]) -> str:
    """The first thing that pydantic found wrong, in one sentence: the parameter, what is allowed,
    and what was given."""
    found = error.errors(include_url=False)[0]
    if not found["loc"]:
        return str(found["ctx"]["error"])
    name = str(found["loc"][0])
    if name not in fields:
        return unknown_parameter(name, fields, "a run")
    return must_be(name, found["input"], allowed(fields[name]))


def must_be(name: str, value: Any, what: str) -> str:
    """The sentence for a value that is not allowed."""
    return f"{name} must be {what}, not {value!r}."


def one_of(names: Iterable[str]) -> str:
    """`one of 'a', 'b' or 'c'`."""
    names = [f"'{name}'" for name in names]
    last = names.pop()
    return f"one of {', '.join(names)} or {last}" if names else f"one of {last}"


def allowed(field: FieldInfo) -> str:
    """What a parameter's annotation allows, in words."""
    if get_origin(field.annotation) is Literal:
        return one_of(get_args(field.annotation))
    if field.annotation is bool:
        return "True or False"
    if field.annotation is str:
        return "a name or a path"
    limits = {
        kind: getattr(mark, kind)
        for mark in field.metadata
        for kind in ("ge", "le")
        if hasattr(mark, kind)
    }
    low, high = limits["ge"], limits.get("le", math.inf)
    kind = "a whole number" if field.annotation is int else "a number"
    return f"{kind} from {low:g} to {high:g}" if high < math.inf else f"{kind} of at least {low:g}"


def documented(fields: dict[str, FieldInfo]) -> str:
    """Every parameter with what it allows, its default and its meaning, for `help(RunConfig)`."""
    lines = []
    for name, field in fields.items():
        about = " ".join((field.description or "").split())
        line = f"{name}: {allowed(field)}; default {field.default!r}. {about}"
        lines.append(textwrap.fill(line, 100, initial_indent=" " * 4, subsequent_indent=" " * 8))
    return "\n".join(lines)
