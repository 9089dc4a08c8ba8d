"""A breakdown as tables for the terminal."""

from __future__ import annotations

from deepcams.bench.breakdown import Breakdown, Row

_COSTS = "{:9} {:>8} {:>6} {:>12} {:>6} {:>9} {:>12} {:>8}"
_RATES = "{:9} {:>9} {:>8} {:>11} {:>15} {:>8} {:>8} {:>8}"


def as_text(found: Breakdown) -> str:
    """Return two tables: where the time goes, and how near the rates come to the machine's."""
    rows, columns = found.grid
    turns = len(found.turns)
    titles = (
        "stage",
        "wall s",
        "",
        "processor s",
        "",
        "kernel s",
        "page faults",
        "peak MB",
    )
    engines = "".join(
        f" ({part['engine']})" for part in found.settings if "engine" in part
    )
    lines = [
        f"{found.hours} hours of {rows} x {columns} by {found.method}{engines}, items one by one, median of {turns}:",
        _COSTS.format(*titles),
    ]
    stages = found.stages()
    lines += [_costs(name, row) for name, row in stages.items()]
    lines.append(_costs("whole", found.whole()))
    if usual := found.usual():
        lines.append(
            "as usual, where an item is written while the next is computed: "
            f"{_percent(usual['of_one_by_one'])} of that wall time, "
            f"{_number(usual['processor'], 1, 1)} s of processor, {_number(usual['peak'], 1e6)} MB"
        )
    lines += [
        "",
        "what each must do at least, its rates in a second of processor time, and their ratio to the machine's:",
    ]
    titles = (
        "stage",
        "GFLOP",
        "GFLOP/s",
        "of product",
        "of convolution",
        "MB",
        "GB/s",
        "of copy",
    )
    lines.append(_RATES.format(*titles))
    lines += [_rates(name, row) for name, row in stages.items() if row["bytes"]]
    best = {
        name: _number(rate, 1e9, 1) or "not measured"
        for name, rate in found.machine().items()
    }
    lines.append(
        f"machine, in turn with these: product {best['product']} GFLOP/s, convolution {best['convolution']} GFLOP/s, "
        f"copy {best['copy']} GB/s"
    )
    return "\n".join(line.rstrip() for line in lines)


def _costs(name: str, row: Row) -> str:
    return _COSTS.format(
        name,
        _number(row["wall"], 1, 2),
        _percent(row.get("wall_share")),
        _number(row["processor"], 1, 2),
        _percent(row.get("processor_share")),
        _number(row["kernel"], 1, 2),
        _number(row["faults"]),
        _number(row["peak"] or None, 1e6),
    )


def _rates(name: str, row: Row) -> str:
    return _RATES.format(
        name,
        _number(row["flop"], 1e9, 1),
        _number(row["flop_rate"], 1e9, 1),
        _percent(row["of_product"]),
        _percent(row["of_convolution"]),
        _number(row["bytes"], 1e6, 1),
        _number(row["bytes_rate"], 1e9, 3),
        _percent(row["of_copy"], 2),
    )


def _number(value: float | None, unit: float = 1, digits: int = 0) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def _percent(share: float | None, digits: int = 0) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"
