"""Terminal output of the results of :func:`deepcams.readers.inspect.inspect`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deepcams.core.text import size
from deepcams.readers.inspect import FileSeen, Seen, TimesSeen, VariableSeen

MOST_FILES = 40
MOST_GAPS = 5


def render(seen: Seen) -> RenderableType:
    """Format one block for a single file; an overview and the totals for several."""
    parts: list[RenderableType] = []
    if len(seen.files) == 1:
        parts += [_title(seen.files[0]), _facts(seen.files[0], seen.times)]
    else:
        parts += [_overview(seen.files), Text()]
        layouts = list(dict.fromkeys(one.layout for one in seen.files if one.layout))
        grids = list(dict.fromkeys(one.grid for one in seen.files if one.grid))
        rows = [
            ("layout", layouts),
            ("grid", grids),
            ("times", list(_times_lines(seen.times))),
        ]
        parts += [Text(f"All {len(seen.files)} together", style="bold"), _pairs(rows)]
    if seen.variables:
        parts.append(_variables(seen.variables))
    parts.append(_verdict(seen))
    return Group(*parts)


def _title(one: FileSeen) -> Text:
    return Text.assemble((one.path, "bold"), f"  {size(one.bytes)}", overflow="fold")


def _pairs(rows: list[tuple[str, list[str]]]) -> Padding:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(overflow="fold")
    for name, lines in rows:
        for number, line in enumerate(lines):
            table.add_row("" if number else name, escape(line))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _facts(one: FileSeen, times: TimesSeen | None) -> Padding:
    rows = [
        ("layout", [one.layout]),
        ("grid", [one.grid]),
        ("times", list(_times_lines(times))),
    ]
    return _pairs([(name, lines) for name, lines in rows if lines and lines[0]])


def _cadence(hours: float | None) -> str:
    if hours is None:
        return ""
    if hours == 1:
        return ", hourly"
    return f", every {hours:g} h" if hours >= 1 else f", every {hours * 60:g} min"


def _times_lines(times: TimesSeen | None) -> Iterator[str]:
    if times is None or not times.count:
        yield "none, or of different kinds"
        return
    span = times.first if times.count == 1 else f"{times.first} to {times.last}"
    yield f"{times.count:,}: {span}{_cadence(times.cadence_hours)}"
    if times.calendar not in ("standard", "gregorian", "proleptic_gregorian"):
        yield f"calendar: {times.calendar}"
    if times.repeated:
        yield f"{times.repeated:,} stand more than once"
    if times.count > 2:
        missing = sum(gap.missing for gap in times.gaps)
        yield (
            f"{len(times.gaps)} gaps, {missing:,} times missing"
            if times.gaps
            else "no gaps"
        )
    for gap in times.gaps[:MOST_GAPS]:
        yield f"  {gap.after} to {gap.before} ({gap.missing:,} missing)"
    if len(times.gaps) > MOST_GAPS:
        yield f"  and {len(times.gaps) - MOST_GAPS} more (--json lists all)"


def _overview(files: tuple[FileSeen, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("file", overflow="fold", ratio=1)
    for name in ("size", "times"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    shown = [
        one for number, one in enumerate(files) if one.problem or number < MOST_FILES
    ]
    for one in shown:
        times = one.times
        ends = (f"{times.count:,}", times.first, times.last) if times else ("", "", "")
        table.add_row(
            escape(one.path), size(one.bytes), *ends, style="red" if one.problem else ""
        )
    if len(shown) < len(files):
        table.add_row(
            f"and {len(files) - len(shown)} more (--json lists all)", style="dim"
        )
    return table


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"


def _variables(variables: tuple[VariableSeen, ...]) -> Padding:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("variable", overflow="fold")
    table.add_column("units", overflow="fold")
    counted = any(variable.values for variable in variables)
    for name in (
        ("lowest", "highest", "missing", "below 0", "infinite")
        if counted
        else ("shape", "type")
    ):
        table.add_column(name, justify="right" if counted else "left")
    for one in variables:
        first = (escape(one.name), escape(one.units or "none"))
        if not counted:
            table.add_row(
                *first,
                " x ".join(str(length) for length in one.shape.values()),
                one.dtype,
            )
            continue
        if one.values is None:
            table.add_row(*first, *("not read" if not i else "" for i in range(5)))
            continue
        counts = (one.values.missing, one.values.negative, one.values.infinite)
        ends = (one.values.smallest, one.values.largest)
        table.add_row(*first, *map(_number, ends), *(f"{count:,}" for count in counts))
        if one.to_ug not in (None, 1.0):
            factor = one.to_ug or 1.0
            table.add_row(
                "", "= ug m-3", *(_number(end * factor) for end in ends), style="dim"
            )
    return Padding(table, (1, 0, 0, 2), expand=False)


def _verdict(seen: Seen) -> Padding:
    if seen.problem:
        head = Text.assemble(("cannot be used: ", "bold red"), seen.problem)
    else:
        head = Text.assemble(("opens as: ", "bold green"), seen.opens_as)
    notes = [Text.assemble(("note: ", "yellow"), note) for note in seen.notes]
    return Padding(Group(head, *notes), (1, 0, 0, 2), expand=False)
