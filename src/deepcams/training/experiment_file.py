"""One YAML file describes an experiment: read strictly, and refused in one line that names the place."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from deepcams.core.errors import InputError
from deepcams.training.option_types import Expected
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

    def whole_number(self, node: Any) -> int:
        """Return a decimal or 0x.. number."""
        text = str(self.construct_scalar(node)).replace("_", "")
        if len(text) > _LONGEST_NUMBER:
            problem = (
                f"expected a number of at most {_LONGEST_NUMBER} digits, found {len(text)} digits"
            )
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return int(text, 16 if "x" in text else 10)
        except ValueError:  # of a node that is tagged !!int
            problem = f"expected a whole number, found {text!r}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def number(self, node: Any) -> float:
        """Return a floating-point number."""
        try:
            return float(self.construct_yaml_float(node))
        except ValueError:  # of a node that is tagged !!float
            problem = f"expected a number, found {node.value!r}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE, _INT, _FLOAT = f"{_TAG}str", f"{_TAG}merge", f"{_TAG}int", f"{_TAG}float"
_LONGEST_NUMBER = 24
"""Digits of a whole number; far below where Python refuses to read them, or a float overflows."""
# YAML 1.1's own patterns go: octal 0100, sexagesimal 12:30, and days, which are texts here (2019-12-01: all of it).
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if pair[0] not in (_INT, _FLOAT, f"{_TAG}timestamp")]
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
_Loader.add_constructor(_INT, _Loader.whole_number)
_Loader.add_constructor(_FLOAT, _Loader.number)


Model = TypeVar("Model", bound=BaseModel)


def read_experiment(path: str | Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: a YAML file.
        changes: ``key.of.value=VALUE`` each, VALUE in YAML, which go before the file's; list items by number
            (``data.stores.0.path=west.zarr``).

    Raises:
        InputError: no such file, no YAML, an unknown key (the nearest known one is named), a wrong type or range, or
            train and validation that overlap; in one line, with the path of the value.
    """
    return parse_experiment(read_values(path, changes), path)


def read_values(path: str | Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The values of an experiment's file, changed; see :func:`read_experiment`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "an experiment (YAML)", "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "a file of another kind"
        raise InputError(path, "an experiment (YAML)", found) from None
    values = _parsed(text, path)
    if not isinstance(values, dict):
        raise InputError(path, "an experiment (keys and values)", type(values).__name__)
    for change in changes:
        _change(values, change)
    return values


def parse_experiment(values: Any, where: object = "experiment") -> Experiment:
    """An experiment of plain values; see :func:`read_experiment`."""
    return parse_as(Experiment, values, where)


def parse_as(model: type[Model], values: Any, where: object) -> Model:
    """Plain values as what they should be; see :func:`read_experiment`."""
    try:
        return model.model_validate(values)
    except InputError as error:  # what no single value can tell
        raise InputError(f"{where}: {error.where}", error.expected, error.found, error.do) from None
    except ValidationError as error:
        raise _explained(error, where, model) from None


@contextmanager
def values_of(where: object) -> Iterator[None]:
    """Refusals of values that only their use can tell, with the file before the value's path."""
    try:
        yield
    except InputError as error:
        if (
            error.where.startswith(str(where))
            or re.split(r"[.:]", error.where)[0] not in Experiment.model_fields
        ):
            raise  # the file is named, or it is of something else
        raise InputError(f"{where}: {error.where}", error.expected, error.found, error.do) from None


def _parsed(text: str, where: object) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(where, "YAML", f"{line}{problem}") from None
    except RecursionError:
        raise InputError(where, "YAML", "lists or mappings that are nested too deeply") from None


def _change(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise InputError("--set", "key.of.value=VALUE", repr(change))
    *parents, last = path.strip().split(".")
    place: Any = values
    for i, parent in enumerate([*parents, last]):
        if isinstance(place, list):
            if not parent.isdigit() or int(parent) >= len(place):
                raise InputError(f"--set {path}", f"an item 0 to {len(place) - 1}", repr(parent))
        elif not isinstance(place, dict):
            raise InputError(f"--set {path}", f"keys below {'.'.join(parents[:i])}", repr(place))
        key: Any = int(parent) if isinstance(place, list) else parent
        if i == len(parents):
            place[key] = _parsed(text, f"--set {path}")
        elif isinstance(place, list):
            place = place[key]
        else:
            if place.get(key) is None:
                place[key] = {}
            place = place[key]


def _explained(error: ValidationError, where: object, model: type[BaseModel]) -> InputError:
    """The first thing that is wrong, with its path and what was expected."""
    # an unknown key explains the missing one beside it, so it is told first
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        *parents, key = path
        known = list(_model(_at(parents, model)).model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        do = f"did you mean {near[0]!r}?" if near else ""
        return InputError(
            ": ".join([str(where), *_joined(parents)]),
            "the keys " + ", ".join(known),
            repr(key),
            do,
        )
    at = ": ".join([str(where), *_joined(path)])
    expected = _words(_at(path, model))
    if first["type"] == "missing":
        return InputError(at, expected, "nothing")
    found = first["input"]
    return InputError(
        at, expected, type(found).__name__ if isinstance(found, BaseModel) else repr(found)
    )


def _joined(path: list[str]) -> list[str]:
    return [".".join(path)] if path else []


def _at(path: list[str], model: type[BaseModel]) -> Any:
    """The annotation of the value at that path of a model."""
    annotation: Any = model
    for part in path:
        kind = _plain(annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields[part]
            annotation = (
                Annotated[(field.annotation, *field.metadata)]
                if field.metadata
                else field.annotation
            )
        elif arguments := get_args(kind):  # of a tuple the items, of a mapping the values
            annotation = arguments[-1] if get_origin(kind) is dict else arguments[0]
    return annotation


def _plain(annotation: Any) -> Any:
    """The type without what is written beside it, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(kind for kind in get_args(annotation) if kind is not types.NoneType))
    return annotation


def _model(annotation: Any) -> type[BaseModel]:
    kind = _plain(annotation)
    assert issubclass(kind, BaseModel)
    return kind


def _words(annotation: Any) -> str:
    """What a value of that annotation is, for people."""
    if get_origin(annotation) is Annotated:
        kind, *beside = get_args(annotation)
        told = [note.words for note in beside if isinstance(note, Expected)]
        return str(told[-1]) if told else _words(kind)
    if get_origin(annotation) in (Union, types.UnionType):
        return _words(next(kind for kind in get_args(annotation) if kind is not types.NoneType))
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"a list, each item {_words(get_args(annotation)[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "the keys " + ", ".join(annotation.model_fields)
    return {float: "a number", int: "a whole number"}.get(annotation, "keys and values")
