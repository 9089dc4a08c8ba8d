"""Changes to files, as Hypothesis draws them: of any bytes, and of texts, numbers and archives by what they mean."""

from __future__ import annotations

import copy
import gzip
import io
import itertools
import json
import re
import struct
import warnings
import zipfile
import zlib
from typing import Any

import yaml
from hypothesis import strategies as st

from fuzz import structured
from fuzz.doors import Door, Files

Draw = Any
EDITS_AT_ONCE = (1, 1, 1, 1, 2, 2, 4)
_HUGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 24, 0x7FFFFFFF, 0x80000000)
_LENGTHS = (*_HUGE, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**6,
    10**9,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "0",
    "-1",
    "nan",
    "1e400",
    "2019",
    "9999-99-99",
    "0000-00-00T00:00",
    "../../../escape",
    "../input.nc",
    "/tmp/deepcams-fuzz-escape",
    "a" * 5000,
    "\x00",
    "\x1b[2J",
    "\u2028\ud7ff\U0001f4a9",
    "µ",
    "%s%n",
    "{0.__class__}",
    "$(id)",
    "'; DROP TABLE rows; --",
    '"',
    "\\",
    [],
    {},
    [[]],
    {"a": 1},
    [None],
    [0] * 300,
)
"""Values that nobody expects."""
_TEXTS = (
    *(str(value) for value in _VALUES if not isinstance(value, list | dict)),
    "kg m-3",
    "kg kg-1",
    "1e-9 kg m-3",
    "hours since 0001-01-01",
    "days since x",
)
_ENDS = (
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b",",
)


@st.composite
def changed(draw: Draw, door: Door, seeds: dict[str, Files]) -> tuple[str, Files]:
    """Draw a seed's name, and those of its files that are changed."""
    name = draw(st.sampled_from(sorted(seeds)))
    files = seeds[name]
    names = sorted(n for n in files if n.startswith(door.changed))
    # The larger a folder, the more of its files are plain values: first the kind, then the file.
    kinds = sorted({_kind(n) for n in names})
    kind = draw(st.sampled_from(kinds))
    victim = draw(st.sampled_from([n for n in names if _kind(n) == kind]))
    content = files[victim]
    ways = [_edit, *(way for way, fits in _WAYS if fits(victim, content))]
    way = draw(st.sampled_from(ways + ways[1:] * 2))
    return name, {victim: way(draw, content, [files[n] for n in names])}


def _kind(name: str) -> str:
    last = name.rpartition("/")[2]
    return last if "." in last else "piece"


# Any bytes


def _edit(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    for _ in range(draw(st.sampled_from(EDITS_AT_ONCE))):
        content = draw(st.sampled_from(_EDITS))(draw, content, others)
    return content


def _at(draw: Draw, content: bytes) -> int:
    """Return a place: near the beginning, where headers are, or anywhere."""
    size = max(len(content) - 1, 0)
    return draw(st.one_of(st.integers(0, min(size, 256)), st.integers(0, size)))


def _span(draw: Draw, content: bytes, longest: int = 512) -> tuple[int, int]:
    start = _at(draw, content)
    return start, min(start + draw(st.integers(1, longest)), len(content))


def _flip(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    if not content:
        return content
    at = _at(draw, content)
    changed = content[at] ^ (1 << draw(st.integers(0, 7)))
    return content[:at] + bytes([changed]) + content[at + 1 :]


def _byte(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    at = _at(draw, content)
    return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]


def _cut(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    return content[: _at(draw, content)]


def _zeros(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    start, stop = _span(draw, content)
    fill = draw(st.sampled_from([b"\0", b"\xff"]))
    return content[:start] + fill * (stop - start) + content[stop:]


def _remove(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    start, stop = _span(draw, content)
    return content[:start] + content[stop:]


def _repeat(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    start, stop = _span(draw, content)
    return (
        content[:start]
        + content[start:stop] * draw(st.integers(2, 20))
        + content[stop:]
    )


def _splice(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    other = draw(st.sampled_from(others))
    start, stop = _span(draw, other)
    at = _at(draw, content)
    end = at + (stop - start if draw(st.booleans()) else 0)
    return content[:at] + other[start:stop] + content[end:]


def _swap(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    (a, b), (c, d) = sorted([_span(draw, content), _span(draw, content)])
    if b > c:
        return content
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _length(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Put a number where a length, count or offset may be."""
    form = draw(st.sampled_from(["<H", ">H", "<I", ">I", "<Q", ">Q"]))
    size = struct.calcsize(form)
    number = draw(st.sampled_from(_LENGTHS)) % (1 << 8 * size)
    at = _at(draw, content)
    if draw(st.booleans()):
        at -= at % 4
    return content[:at] + struct.pack(form, number) + content[at + size :]


def _insert(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    at = _at(draw, content)
    more = draw(st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from(_ENDS)))
    return content[:at] + more + content[at:]


_EDITS = (
    _flip,
    _flip,
    _byte,
    _cut,
    _zeros,
    _remove,
    _repeat,
    _splice,
    _swap,
    _length,
    _length,
    _insert,
)


# Words in binary headers: attributes, units, names


_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_ .*<=/:-]{3,40}")


def _word(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Put another text of the same length where a header has a word."""
    found = list(_WORD.finditer(content[: 1 << 16]))
    if not found:
        return content
    for _ in range(draw(st.integers(1, 2))):
        match = draw(st.sampled_from(found))
        size = match.end() - match.start()
        text = draw(st.sampled_from(_TEXTS)).encode("utf-8", "surrogatepass")
        text = (text * (size // max(len(text), 1) + 1))[:size] if text else b" " * size
        content = content[: match.start()] + text + content[match.end() :]
    return content


# Texts


def _number(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Replace numbers and words of a text."""
    text = content.decode("utf-8", "surrogateescape")
    pieces = re.split(r"([A-Za-z0-9_.+-]+)", text)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max((len(pieces) - 2) // 2, 0))) * 2 + 1
        if at < len(pieces):
            pieces[at] = draw(st.sampled_from(_TEXTS))
    return "".join(pieces).encode("utf-8", "surrogateescape")


def _cells(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Replace, add and remove cells, lines and columns of a table."""
    lines = content.split(b"\n")
    separator = draw(st.sampled_from([b",", b";", b"\t"]))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        cells = lines[at].split(separator)
        cell = draw(st.integers(0, len(cells) - 1))
        text = draw(st.sampled_from(_TEXTS)).encode("utf-8", "surrogatepass")
        action = draw(st.sampled_from(["put", "put", "put", "drop", "add", "line"]))
        if action == "put":
            cells[cell] = text
        elif action == "drop":
            del cells[cell]
        elif action == "add":
            cells.insert(cell, text)
        lines[at] = separator.join(cells)
        if action == "line":
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
    return b"\n".join(lines)


def _packed(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Change what a gzip file holds, or make it a bomb."""
    try:
        text = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return content
    if draw(st.integers(0, 40)) == 0:
        line = text.split(b"\n")[1] + b"\n"
        text += line * (draw(st.sampled_from([10**5, 10**6])))
        return gzip.compress(text, 1, mtime=0)
    return gzip.compress(_cells(draw, text, others), 1, mtime=0)


_SPECIALS = ("many keys", "deep", "aliases", "merges", "itself", "replace")


def _yaml(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Change values, keys and structure of YAML."""
    special = draw(st.sampled_from([*_SPECIALS, *["replace"] * 12]))
    if special != "replace":
        return _yaml_special(draw, special, content)
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError):
        return _number(draw, content, others)
    document = _restructured(draw, document)
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode(
        "utf-8", "surrogatepass"
    )


def _yaml_special(draw: Draw, special: str, content: bytes) -> bytes:
    key = draw(st.sampled_from(_keys_of(content) or ["a"]))
    n = draw(st.sampled_from([3, 9, 40]))
    names = [f"a{k}" for k in range(n)]
    if special == "aliases":
        lists = [
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
            for a, b in itertools.pairwise(names)
        ]
        head = f"a0: &a0 {draw(st.sampled_from(['1', '[1]', '{b: 1}']))}\n" + "\n".join(
            lists
        )
        return (head + f"\n{key}: *{names[-1]}\n").encode()
    if special == "merges":
        maps = [
            f"{b}: &{b} {{<<: [*{a}, *{a}], {b}: 1}}"
            for a, b in itertools.pairwise(names)
        ]
        return (
            "a0: &a0 {x: 1}\n" + "\n".join(maps) + f"\n{key}: *{names[-1]}\n"
        ).encode()
    if special == "itself":
        return f"{key}: &a [*a, {{b: *a}}]\n".encode() + content
    if special == "deep":
        opened = draw(st.sampled_from(["[", "{a: ", "- ", "!!set {? "]))
        return (
            f"{key}: ".encode()
            + opened.encode() * draw(st.sampled_from([50, 500, 50000]))
            + content
        )
    return content + b"\n".join(f"k{k}: {k}".encode() for k in range(n * 50))


def _keys_of(content: bytes) -> list[str]:
    return re.findall(r"^(\w+):", content.decode("utf-8", "replace"), re.MULTILINE)


def _json(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Change values, keys and structure of JSON, also of JSON within texts."""
    special = draw(st.integers(0, 12))
    if special == 0:
        opened = draw(st.sampled_from([b"[", b'{"a":']))
        return opened * draw(st.sampled_from([50, 100_000]))
    if special == 1:
        return (
            content[:-2] + b', "a": ' + b"9" * draw(st.sampled_from([20, 5000])) + b"}"
        )
    try:
        document = json.loads(content)
    except ValueError:
        lines = content.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        try:
            lines[at] = json.dumps(_restructured(draw, json.loads(lines[at]))).encode()
        except ValueError:
            return _number(draw, content, others)
        return b"\n".join(lines)
    return json.dumps(_restructured(draw, document)).encode()


def _restructured(draw: Draw, document: Any) -> Any:
    """Return a document with some values replaced by others, and keys removed, added, renamed."""
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            return copy.deepcopy(draw(st.sampled_from(_VALUES)))
        holder, key = draw(st.sampled_from(places))
        action = draw(
            st.sampled_from(["put"] * 6 + ["drop", "add", "rename", "move", "inner"])
        )
        value = holder[key]
        if action == "inner" and isinstance(value, str) and value[:1] in ("{", "["):
            try:
                holder[key] = json.dumps(_restructured(draw, json.loads(value)))
            except ValueError:
                holder[key] = ""
        elif action == "drop":
            del holder[key]
        elif action == "move":
            holder[key] = [value]
        elif action in ("add", "rename") and isinstance(holder, dict):
            if action == "rename":
                del holder[key]
            holder[draw(st.sampled_from(_TEXTS))] = value
        elif isinstance(value, str) and draw(st.booleans()):
            holder[key] = draw(st.sampled_from(_TEXTS))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(_VALUES)))
    return document


def _places(document: Any, deeper: int = 12) -> Any:
    """Yield every (mapping or list, key or index)."""
    if deeper and isinstance(document, dict | list):
        keys = list(document) if isinstance(document, dict) else range(len(document))
        for key in keys:
            yield document, key
            yield from _places(document[key], deeper - 1)


# Containers


def _header(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Change the JSON header of a safetensors file, and the card in it."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
        if draw(st.booleans()):
            card = json.loads(header["__metadata__"]["deepcams"])
            header["__metadata__"]["deepcams"] = json.dumps(_restructured(draw, card))
        else:
            header = _restructured(draw, header)
    except (ValueError, KeyError, TypeError):
        return content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


_NAMES = (
    "../escape.nc",
    "/tmp/deepcams-fuzz-escape.nc",
    "a/../../b.nc",
    "..\\c.nc",
    "C:\\d.nc",
    "",
    "a" * 300,
    "x\x00y.nc",
    "./e.nc",
    "con",
    "f.nc/",
    "data_sfc.nc",
    "zarr.json",
)
"""Names of members of a zip."""


def _zip(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Write a zip anew, with some members of other names and contents: links, bombs, repeats, zips in zips."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(m, archive.read(m)) for m in archive.infolist()]
    except (zipfile.BadZipFile, OSError, zlib.error, EOFError, RuntimeError):
        return content
    warnings.filterwarnings("ignore", "Duplicate name")
    chosen = [draw(st.integers(0, len(members) - 1)) for _ in range(2)]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number, (member, data) in enumerate(members):
            info = zipfile.ZipInfo(member.filename)
            info.compress_type = member.compress_type
            if number in chosen:
                data = _member(draw, info, data, content)
            archive.writestr(info, data)
            if number == chosen[0] and draw(st.integers(0, 4)) == 0:
                archive.writestr(info, data[::-1])
    content = target.getvalue()
    return _edit(draw, content, others) if draw(st.booleans()) else content


def _member(draw: Draw, info: zipfile.ZipInfo, data: bytes, whole: bytes) -> bytes:
    """Change how a member of a zip is written; return its content."""
    actions = ["name", "name", "edit", "edit", "link", "packing", "zip"]
    action = draw(st.sampled_from(actions))
    if len(whole) < 10_000 and draw(st.integers(0, 60)) == 0:
        info.compress_type = zipfile.ZIP_DEFLATED
        return data[:1024] + bytes(300 << 20)
    if action == "name":
        info.filename = info.orig_filename = draw(st.sampled_from(_NAMES))
    elif action == "edit":
        return _edit(draw, data, [data])
    elif action == "link":
        info.external_attr = 0o120777 << 16
        return b"/etc/passwd"
    elif action == "packing":
        info.compress_type = draw(st.sampled_from([0, 8, 12, 14]))
    elif action == "zip":
        return whole
    return data


_WAYS = (
    (
        _word,
        lambda name, content: b"\0" in content[:4096] and content[:2] != b"\x1f\x8b",
    ),
    (_number, lambda name, content: b"\0" not in content),
    (_cells, lambda name, content: name.endswith((".csv", ".log"))),
    (_packed, lambda name, content: content[:2] == b"\x1f\x8b"),
    (_yaml, lambda name, content: name.endswith(".yaml")),
    (_json, lambda name, content: content[:1] in (b"{", b"[")),
    (_header, lambda name, content: name.endswith(".safetensors")),
    (_zip, lambda name, content: content[:2] == b"PK"),
    (
        structured.netcdf,
        lambda name, content: content[:4] in (b"\x89HDF", b"CDF\x01", b"CDF\x02"),
    ),
    (structured.grib, lambda name, content: content[:4] == b"GRIB"),
    (structured.parquet, lambda name, content: content[:4] == b"PAR1"),
)
"""Changes by what a file means, and to which files they apply."""
