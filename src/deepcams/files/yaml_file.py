"""Strict reader of the safe subset of YAML."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Any

import yaml

from deepcams.core.errors import InputError


class _Loader(yaml.SafeLoader):
    """Loader of YAML's safe subset, with numbers as in YAML 1.2; keys must be unique texts.

    1e-4 is a number, 0100 is one hundred, 12:30 and 2019-12-01 are texts.
    """

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Check the keys as written, before merge keys combine them with others."""
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

    def get_single_node(self) -> Any:
        """Refuse a document whose aliases make it infinite or far larger than its text."""
        node = super().get_single_node()
        if node is not None and _count(node, {}) > _MOST_VALUES:
            problem = f"aliases that stand for more than {_MOST_VALUES:,} values"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node

    def number(self, node: Any) -> float:
        """Return a number: an integer (decimal or 0x..) or a float."""
        text = str(self.construct_scalar(node)).replace("_", "")
        whole = node.tag == _INT
        problem = f"expected a {'whole ' if whole else ''}number, found {text[:_LONGEST_NUMBER]!r}"
        if whole and len(text) > _LONGEST_NUMBER:
            problem = f"expected a number of at most {_LONGEST_NUMBER} digits, found {len(text)}"
        else:
            with suppress(ValueError):  # possible for nodes tagged !!int or !!float
                if not whole:
                    return float(self.construct_yaml_float(node))
                return int(text, 16 if "x" in text else 10)
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _count(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """Return the number of values in a node with aliases expanded; infinite if it contains itself."""
    if node not in known:
        known[node] = math.inf  # until its contents are counted
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inner = node.value
        elif isinstance(node, yaml.MappingNode):
            inner = [value for _, value in node.value]
        known[node] = 1 + sum(_count(one, known) for one in inner)
    return known[node]


_MOST_VALUES = 100_000
"""Maximum number of values in a document; no valid file has more, and checking more could take very long."""
_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE, _INT, _FLOAT = f"{_TAG}str", f"{_TAG}merge", f"{_TAG}int", f"{_TAG}float"
_LONGEST_NUMBER = 24
"""Maximum number of digits of an integer; far below the limits of Python's parser and of floats."""
# YAML 1.1's patterns are removed: octal 0100, sexagesimal 12:30, and dates, which are texts here.
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


def parse_yaml(text: str, where: object) -> Any:
    """Parse the safe subset of YAML.

    Args:
        text: the document.
        where: file named in error messages.

    Raises:
        InputError: the text is not valid YAML, a key is repeated or not a text, or aliases expand to too many values.
    """
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
