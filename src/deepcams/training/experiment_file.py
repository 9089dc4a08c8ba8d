"""Read experiments from YAML with strict validation; an error is one line that names the value's path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from deepcams.core.errors import InputError
from deepcams.files.yaml_file import parse_yaml
from deepcams.training.options import Experiment

Model = TypeVar("Model", bound=BaseModel)


def read_experiment(path: str | Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: YAML file; if NAME or configs/NAME does not exist, the shipped file NAME is used.
        changes: overrides of the file's values, ``key.of.value=VALUE`` each, with VALUE in YAML; list items by index
            (``data.stores.0.path=west.zarr``).

    Raises:
        InputError: the file does not exist or is not YAML; a key is unknown (the nearest known one is named); a value
            has a wrong type or range; or train and validation overlap. The message is one line with the value's path.
    """
    return parse_experiment(read_values(path, changes), path)


def read_values(path: str | Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values of an experiment file with changes applied; see :func:`read_experiment`."""
    path = Path(path)
    try:
        text = _shipped(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "an experiment (YAML)", "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "a file of another kind"
        raise InputError(path, "an experiment (YAML)", found) from None
    values = parse_yaml(text, path)
    if not isinstance(values, dict):
        raise InputError(path, "an experiment (keys and values)", type(values).__name__)
    for change in changes:
        _change(values, change)
    return values


def _shipped(path: Path) -> Path:
    """Return the path if it exists, else that of a shipped experiment of this name, if any."""
    if path.exists() or path.parent.name not in ("", "configs"):
        return path
    package = Path(__file__).parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / path.name).is_file():
            return folder / path.name
    return path


def parse_experiment(values: Any, where: object = "experiment") -> Experiment:
    """Validate an experiment's plain values; see :func:`read_experiment`."""
    return parse_as(Experiment, values, where)


def parse_as(model: type[Model], values: Any, where: object) -> Model:
    """Validate plain values against a model; see :func:`read_experiment`."""
    try:
        return model.model_validate(values)
    except InputError as error:  # inconsistent values
        raise _inside(where, error) from None
    except ValidationError as error:
        raise _explain(error, where, model) from None


@contextmanager
def values_of(where: object) -> Iterator[None]:
    """Add the experiment file's name to errors of its values that are raised later, when they are used."""
    try:
        yield
    except InputError as error:
        first_key = re.split(r"[.:]", error.where)[0]
        if (
            error.where.startswith(str(where))
            or first_key not in Experiment.model_fields
        ):
            raise  # the file is already named, or the error is about another file
        raise _inside(where, error) from None


def _inside(where: object, error: InputError) -> InputError:
    return InputError(f"{where}: {error.where}", error.expected, error.found, error.do)


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
    place[_key(place, last, where)] = parse_yaml(text, where)


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
"""Description of the expected value, by pydantic's error type."""


def _explain(
    error: ValidationError, where: object, model: type[BaseModel]
) -> InputError:
    """Convert the first validation error to an InputError with its path and the expected value."""
    # An unknown key often explains a missing one beside it, so it comes first.
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
    """Return the submodel at a path of a model."""
    for part in path:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
