"""Recipes: YAML read into frozen dataclasses, `a.b=c` overrides, every mistake reported at once.

A recipe is a mapping with one section for each verb that it configures (`prepare`, `pretrain`,
`finetune`); a section is a dataclass, and its defaults live there only. Relative paths in a recipe
are relative to the working directory.

    @dataclass(frozen=True)
    class Schedule:
        warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
        \"\"\"Share of the run's tokens over which the learning rate rises.\"\"\"

Unknown keys are mistakes; so are values that do not convert. Checks across fields go into
`__post_init__` and raise `ValueError`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from camembert_bio.errors import UserError, nearest, raise_all

Section = TypeVar("Section")

_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `5e-5` as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", node.value[position][0].start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
# Added after the standard resolvers, so integers must come first again.
for _first in "-+0123456789":
    _resolvers = _Loader.yaml_implicit_resolvers[_first]
    _resolvers.sort(key=lambda pair: pair[0] != "tag:yaml.org,2002:int")


def find_recipe(name: str) -> Path:
    """The path of a recipe given by path, or by the name of one that the package ships (`demo`)."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = Path(str(resources.files("camembert_bio"))) / "recipes"
    known = sorted(file.stem for file in shipped.glob("*.yaml"))
    if name in known:
        return shipped / f"{name}.yaml"
    raise UserError(f"recipe {name!r} is neither a file nor a recipe of the package ({nearest(name, known)})")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping; a clear error names file, line and column of what cannot be read."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise UserError(f"{path} is not valid YAML at {where}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {type(value).__name__}, not a mapping of sections")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; `UserError` names the file when it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {type(value).__name__}, not a mapping")
    return value


def load_recipe(recipe: str, section: str, sections: Mapping[str, type], overrides: Sequence[str] = ()) -> Any:
    """One section of a recipe as an instance of `sections[section]`.

    Every section of the file is checked, so that a mistake in a later verb's section is found
    before the first verb works for hours. `overrides` are `a.b=c`, relative to `section`.

    Raises `UserError` with all mistakes at once.
    """
    path = find_recipe(recipe)
    values = read_yaml(path)
    mistakes = [f"{key}: unknown section ({nearest(key, sections)})" for key in values if key not in sections]
    if section not in values:
        mistakes.append(f"{section}: this section is missing and the verb needs it")
    for override in overrides:
        mistakes += _apply(values.setdefault(section, {}), override)
    built = {}
    for name in sections.keys() & values.keys():
        built[name], more = _build(sections[name], values[name], name)
        mistakes += more
    raise_all(f"{path} has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}:", mistakes)
    return built[section]


def build(kind: type[Section], values: Mapping[str, Any], where: str = "") -> Section:
    """An instance of a configuration dataclass from plain values; `UserError` with all mistakes."""
    built, mistakes = _build(kind, values, where)
    raise_all(f"{where or kind.__name__} has {len(mistakes)} mistakes:", mistakes)
    return typing.cast(Section, built)


def to_dict(value: Any) -> Any:
    """A configuration as plain JSON values: what is saved beside a run's results."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def strict_fields(kind: type) -> type:
    """Class decorator above `@dataclass(frozen=True)`: unknown keys, infinities and NaN are mistakes."""
    kind.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[attr-defined]
    return kind


def _apply(values: Any, override: str) -> list[str]:
    """Set one `a.b=c` in nested mappings; a list of mistakes, empty when it was set."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        return [f"{override!r} is not an override; write key=value, for example schedule.max_steps=100"]
    *parents, last = name.split(".")
    for parent in parents:
        if not isinstance(values, dict):
            return [f"override {name}: {parent} is not inside a mapping"]
        values = values.setdefault(parent, {})
    if not isinstance(values, dict):
        return [f"override {name}: {last} is not inside a mapping"]
    try:
        values[last] = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return [f"override {name}: its value is not valid YAML"]
    return []


def _build(kind: type, values: Any, where: str) -> tuple[Any, list[str]]:
    if not isinstance(values, Mapping):
        return None, [f"{where}: expected a mapping, got {type(values).__name__}"]
    try:
        return TypeAdapter(kind).validate_python(_expand_home(values)), []
    except ValidationError as error:
        return None, [_describe(kind, where, problem) for problem in error.errors(include_url=False)]


def _expand_home(value: Any) -> Any:
    """The value with `~/` at the start of a string as the home folder, which is what a shell would make of it."""
    if isinstance(value, Mapping):
        return {key: _expand_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand_home(inner) for inner in value]
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~/") else value


def _describe(kind: type, where: str, problem: Any) -> str:
    """One mistake as `path: fact (value; remedy)`."""
    path = [str(part) for part in problem["loc"]]
    name = ".".join([part for part in [where, *path] if part])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _field_names(kind, path[:-1])
        return f"{name}: unknown option ({nearest(path[-1], known)})"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{name}: this option is required"
    message = problem["msg"].removeprefix("Value error, ")
    shown = problem["input"]
    value = "" if isinstance(shown, (dict, list)) or dataclasses.is_dataclass(shown) else f", got {shown!r}"
    return f"{name}: {message[:1].lower()}{message[1:]}{value}" if name else message


def _field_names(kind: Any, path: Sequence[str]) -> list[str]:
    """Names of the fields of the dataclass found at `path` below `kind`."""
    for part in path:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(part, kind)
        kind = _dataclass_in(kind) or kind
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _dataclass_in(kind: Any) -> Any:
    """The dataclass inside `X | None`, `tuple[X, ...]` or `dict[str, X]`."""
    if dataclasses.is_dataclass(kind):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType, tuple, list, dict, typing.Annotated):
        for argument in typing.get_args(kind):
            if found := _dataclass_in(argument):
                return found
    return None
