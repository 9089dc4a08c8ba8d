"""Pieces of HTML; all that comes from files goes through :func:`text`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1d22;--faint:#545965;--line:#c9ccd3;--shade:#f2f3f6;
--accent:#1f5fa8;--warn:#a8660c}
@media(prefers-color-scheme:dark){:root{--paper:#16181d;--ink:#e9eaee;--faint:#a9aebb;--line:#3c404a;--shade:#1f2229;
--accent:#8abaf0;--warn:#d9962f}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;
background:var(--paper);color:var(--ink);overflow-wrap:anywhere}h1{line-height:1.2;margin:.4rem 0}
h2{border-bottom:1px solid var(--line);margin-top:2.2rem}nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;
list-style:none}a{color:var(--accent)}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;
font-variant-numeric:tabular-nums}th,td{text-align:left;
vertical-align:top;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line)}
td.number,th.number{text-align:right;white-space:nowrap}th{font-weight:600}td,th{overflow-wrap:break-word}
th.long,td.long{min-width:13rem}.pairs th{width:16rem}.pairs th,.pairs td{overflow-wrap:anywhere}figure{margin:1rem 0}
figure img{max-width:100%;height:auto;background:#fff;border-radius:3px}
figcaption,.faint{color:var(--faint);font-size:.9rem}
.warn{border-left:4px solid var(--warn);background:var(--shade);padding:.4rem .8rem}details{margin:.6rem 0}
summary{cursor:pointer}pre{white-space:pre-wrap;background:var(--shade);padding:.6rem;font-size:.85rem}
:focus-visible{outline:2px solid var(--accent)}
@media(max-width:40rem){body{padding:.7rem}th,td{padding-right:.45rem}.pairs,.pairs tbody,.pairs tr,.pairs th,
.pairs td{display:block;width:auto;padding-right:0}.pairs th{border:0;padding-bottom:0}}
@media print{:root{--paper:#fff;--ink:#000;--faint:#444;--line:#999;--shade:#f4f4f4;--accent:#000}
body{max-width:none;font-size:10pt;padding:0}nav,.screen{display:none}section:has(.screen){display:none}
figure,tr{break-inside:avoid}h2,.faint:has(+.scroll){break-after:avoid}
.scroll{overflow:visible}table{font-size:.75rem}
details::details-content{display:block;height:auto;content-visibility:visible}}
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


MOST_TEXT = 4000
"""Characters of one value."""
MOST_PAIRS = 300
LONG = 48
"""Letters: a column with longer texts keeps some width where the page is narrow, rather than a word a line."""


def printable(value: object) -> str:
    """Any value as text without control characters, cut where it would drown everything else."""
    words = str(value)
    if len(words) > MOST_TEXT:
        words = f"{words[:MOST_TEXT]}\N{HORIZONTAL ELLIPSIS} ({len(words) - MOST_TEXT:,} characters more)"
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in words
    )


def text(value: object) -> str:
    """Any value as text within HTML, harmless whatever it holds."""
    return escape(printable(value))


def number(value: object, decimals: int | None = None) -> str:
    """A figure for people: with so many decimals, or four digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if decimals is None or math.isinf(value) else f"{value:,.{decimals}f}"


def _decimals(column: Iterable[object]) -> int | None:
    """As many as give a column's largest figure four digits; ``None`` for very small and large ones."""
    sizes = [
        abs(value)
        for value in column
        if isinstance(value, float) and math.isfinite(value) and value
    ]
    if len(sizes) < 2 or not 1e-2 <= max(sizes) < 1e6:
        return None
    return min(max(3 - math.floor(math.log10(max(sizes))), 0), 4)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table whose figures stand to the right; wide ones can be scrolled."""
    rows = [list(row) for row in rows]
    right = [any(_is_number(row[k]) for row in rows) for k in range(len(columns))]
    long = [max((len(str(row[k])) for row in rows), default=0) > LONG for k in range(len(columns))]
    kinds = [
        ' class="number"' if one else ' class="long"' if words else ""
        for one, words in zip(right, long, strict=True)
    ]
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>'
        for name, kind in zip(columns, kinds, strict=True)
    )
    decimals = [_decimals(row[k] for row in rows) for k in range(len(columns))]
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{number(one, some)}</td>"
            for one, some, kind in zip(row, decimals, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    # Above the table rather than in it: a long one is read without scrolling. Whoever has no pointer can scroll, too.
    about = f'<p class="faint">{text(caption)}</p>' if caption else ""
    return (
        f'{about}<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or "table")}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def pairs(values: Mapping[str, object], what: str) -> str:
    """Names and values, one a row; what is nested is written out with dots.

    Args:
        values: to be shown; the first :data:`MOST_PAIRS`.
        what: they are, for readers who hear the page.
    """
    leaves = flat(values)
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{number(value)}</td></tr>'
        for name, value in leaves[:MOST_PAIRS]
    )
    more = (
        f'<p class="faint">{len(leaves) - MOST_PAIRS:,} more are left out.</p>'
        if len(leaves) > MOST_PAIRS
        else ""
    )
    frame = f'<div class="scroll" tabindex="0" role="region" aria-label="{text(what)}">'
    return f'{frame}<table class="pairs"><tbody>{rows}</tbody></table></div>{more}'


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings and lists, with their names."""
    if isinstance(value, Mapping):
        return [
            leaf
            for key in value
            for leaf in flat(value[key], f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list | tuple) and any(
        isinstance(one, Mapping | list | tuple) for one in value
    ):
        return [leaf for k, one in enumerate(value) for leaf in flat(one, f"{name}[{k + 1}]")]
    if isinstance(value, list | tuple):
        return [(name, ", ".join(str(one) for one in value))]
    return [(name, value)]


def figure(content: bytes, kind: str, alt: str, caption: str) -> str:
    """A picture within the file. ``kind``: png, gif, .."""
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img src="data:image/{kind};base64,{data}" alt="{text(alt)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def page(title: str, about: str, sections: Mapping[str, str]) -> str:
    """The whole document.

    Args:
        title: plain text.
        about: HTML that stands above everything.
        sections: heading -> HTML; empty ones are left out.
    """
    kept = {name: content for name, content in sections.items() if content}
    links = "".join(f'<li><a href="#part{k}">{text(name)}</a></li>' for k, name in enumerate(kept))
    parts = "".join(
        f'<section aria-labelledby="part{k}"><h2 id="part{k}">{text(name)}</h2>{content}</section>'
        for k, (name, content) in enumerate(kept.items())
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><header><h1>{text(title)}</h1>{about}"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header><main>{parts}</main></body></html>\n'
    )
