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
    """YAML's safe subset: 1e-4 is a number (YAML 1.1 wants 1.0e-4), dates stay texts, and no key stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                mark = key_node.start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {  # 2019-12-01 stays a text: it is a whole day here
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


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
        raise InputError(
            where, "YAML", f"{line}{getattr(error, 'problem', None) or error}"
        ) from None


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
