"""Grids that properties are proven on."""

from __future__ import annotations

from hypothesis import strategies as st

from deepcams.core.grid import Grid


@st.composite
def coarse_regions(draw: st.DrawFn) -> Grid:
    """Whole-cell regions of a 7.5 degree world: at poles, across Greenwich and the dateline, and global belts."""
    step = draw(st.sampled_from([0.75, 7.5, 10.0, 22.5]))
    last, around = round(180 / step), round(360 / step)
    rows = draw(st.integers(2, min(9, last + 1)))
    north = draw(
        st.one_of(st.just(0), st.just(last + 1 - rows), st.integers(0, last + 1 - rows))
    )
    if draw(st.booleans()) and step > 1:
        return Grid(step, north, 0, rows, around)
    columns = draw(st.integers(2, min(9, around - 1)))
    west = draw(
        st.one_of(
            st.sampled_from([-1, 0, 1, around // 2 - 1, around // 2]),
            st.integers(0, around - 1),
        )
    )
    return Grid(step, north, west, rows, columns).canonical()
