"""Read experiments from YAML, strictly: whatever is wrong is one line that names the value's path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from deepcams.core.errors import InputError
from deepcams.training.options import Experiment


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, with numbers as YAML 1.2 has them; every key is a name, and stands once.

    1e-4 is a number, 0100 is one hundred, 12:30 and 2019-12-01 are texts.
    """

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Check the keys as they are written: later, merge keys have mixed them with others."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            problem = ""
            if not isinstance(key, yaml.ScalarNode):
                problem = "expected a name as key, found a list or a mapping (is a {{ template }} not filled in?)"
            elif key.tag not in (_TEXT, _MERGE):
                problem = f"expected a name as key, found {key.value!r}, which YAML reads as {key.tag.rsplit(':')[-1]}"
            elif key.value in seen:
                problem = f"the key {key.value!r} stands twice"
            if problem:
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def number(self, node: Any) -> float:
        """Return a number: whole (decimal or 0x..) or floating-point."""
        text = str(self.construct_scalar(node)).replace("_", "")
        whole = node.tag == _INT
        problem = f"expected a {'whole ' if whole else ''}number, found {text[:_LONGEST_NUMBER]!r}"
        if whole and len(text) > _LONGEST_NUMBER:
            problem = f"expected a number of at most {_LONGEST_NUMBER} digits, found {len(text)}"
        else:
            with suppress(ValueError):  # of a node that is tagged !!int or !!float
                if not whole:
                    return float(self.construct_yaml_float(node))
                return int(text, 16 if "x" in text else 10)
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE, _INT, _FLOAT = f"{_TAG}str", f"{_TAG}merge", f"{_TAG}int", f"{_TAG}float"
_LONGEST_NUMBER = 24
"""Digits of a whole number; far below where Python refuses to read them, or a float overflows."""
# YAML 1.1's own patterns go: octal 0100, sexagesimal 12:30, and days, which are texts here (2019-12-01: all of it).
_Loader.yaml_implicit_resolvers = {
    first: [
        pair for pair in resolvers if pair[0] not in (_INT, _FLOAT, f"{_TAG}timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NUMBER = (
    r"[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\.\d[\d_]*(?:[eE][-+]?\d+)?"
    r"|\d[\d_]*[eE][-+]?\d+|\.(?:inf|Inf|INF))"
)
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(rf"(?:{_NUMBER}|\.(?:nan|NaN|NAN))$"), list("-+.0123456789")
)
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:\d[\d_]*|0x[\da-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_constructor(_INT, _Loader.number)
_Loader.add_constructor(_FLOAT, _Loader.number)


Model = TypeVar("Model", bound=BaseModel)


def read_experiment(path: str | Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: a YAML file.
        changes: ``key.of.value=VALUE`` each, VALUE in YAML, which replace the file's; list items by number
            (``data.stores.0.path=west.zarr``).

    Raises:
        InputError: no such file, no YAML, an unknown key (the nearest known one is named), a wrong type or range, or
            train and validation that overlap; in one line, with the path of the value.
    """
    return parse_experiment(read_values(path, changes), path)


def read_values(path: str | Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values of an experiment's file, changed; see :func:`read_experiment`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "an experiment (YAML)", "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "a file of another kind"
        raise InputError(path, "an experiment (YAML)", found) from None
    values = _parse_yaml(text, path)
    if not isinstance(values, dict):
        raise InputError(path, "an experiment (keys and values)", type(values).__name__)
    for change in changes:
        _change(values, change)
    return values


def parse_experiment(values: Any, where: object = "experiment") -> Experiment:
    """Check an experiment's plain values; see :func:`read_experiment`."""
    return parse_as(Experiment, values, where)


def parse_as(model: type[Model], values: Any, where: object) -> Model:
    """Check plain values against a model; see :func:`read_experiment`."""
    try:
        return model.model_validate(values)
    except InputError as error:  # of values that do not go together
        raise _inside(where, error) from None
    except ValidationError as error:
        raise _explain(error, where, model) from None


@contextmanager
def values_of(where: object) -> Iterator[None]:
    """Name the experiment's file in errors of its values that are raised later, when they are used."""
    try:
        yield
    except InputError as error:
        first_key = re.split(r"[.:]", error.where)[0]
        if (
            error.where.startswith(str(where))
            or first_key not in Experiment.model_fields
        ):
            raise  # the file is named already, or it is another file's error
        raise _inside(where, error) from None


def _inside(where: object, error: InputError) -> InputError:
    return InputError(f"{where}: {error.where}", error.expected, error.found, error.do)


def _parse_yaml(text: str, where: object) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(where, "YAML", f"{line}{problem}") from None
    except RecursionError:
        raise InputError(
            where, "YAML", "lists or mappings that are nested too deeply"
        ) from None


def _change(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise InputError("--set", "key.of.value=VALUE", repr(change))
    where = f"--set {path}"
    *parents, last = path.strip().split(".")
    place: Any = values
    for parent in parents:
        key = _key(place, parent, where)
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
        place = place[key]
    place[_key(place, last, where)] = _parse_yaml(text, where)


def _key(place: Any, name: str, where: str) -> Any:
    """Return a key of a mapping or an index of a list."""
    if isinstance(place, dict):
        return name
    if not isinstance(place, list):
        raise InputError(where, f"keys and values that have {name!r}", repr(place))
    if not name.isdigit() or int(name) >= len(place):
        raise InputError(where, f"an item 0 to {len(place) - 1}", repr(name))
    return int(name)


_EXPECTED = {
    "missing": "a value",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "a name of letters, digits, - _ and .",
    "value_error": "{error}",
}
"""What a value should be, by pydantic's type of error."""


def _explain(
    error: ValidationError, where: object, model: type[BaseModel]
) -> InputError:
    """Return the first error, with its path and what was expected."""
    # An unknown key explains the missing one next to it, so it comes first.
    first = min(
        error.errors(include_url=False),
        key=lambda one: one["type"] != "extra_forbidden",
    )
    kind, path, found = first["type"], list(first["loc"]), repr(first["input"])
    expected = _EXPECTED.get(kind, first["msg"]).format(**first.get("ctx", {}))
    do = ""
    if kind == "missing":
        found = "nothing"
    elif kind == "extra_forbidden":
        key = str(path.pop())
        known = list(_model_at(path, model).model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        expected, found = "the keys " + ", ".join(known), repr(key)
        do = f"did you mean {near[0]!r}?" if near else ""
    place = ".".join(str(part) for part in path)
    return InputError(f"{where}: {place}" if place else where, expected, found, do)


def _model_at(path: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel]:
    """Return the model of the keys and values at a path of a model."""
    for part in path:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
