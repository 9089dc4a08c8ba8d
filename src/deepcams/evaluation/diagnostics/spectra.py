"""Zonal spectra: power and squared coherence with the truth by wavelength, and the effective resolution.

Each row between 60 S and 60 N is Fourier-transformed over its whole length: without a window on the globe, with a Hann
window in a region. Rows with a missing value in either field are left out and counted. Wavelengths are in degrees of
longitude. Power and cross spectra are summed over rows and frames (Welch's average).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import fft

from deepcams.core.grid import Grid
from deepcams.evaluation.diagnostics.base import Block, Diagnostic, Setting, Sums, ratio
from deepcams.evaluation.scores import Score
from deepcams.evaluation.tables import Row

FARTHEST = 60.0
"""Largest latitude, degrees; beyond, a degree of longitude is less than half as long as at the equator."""
FEWEST_NODES = 24
"""Smallest number of nodes in a row for a spectrum."""
FLOOR = 0.1
"""Lower bound of values before the logarithm, ug m-3."""
KINDS = ("values", "logarithms")
COHERENT = 0.5
"""Squared coherence from which a scale counts as resolved."""
SMALL = 1.0
"""Wavelength below which scales count as small, degrees."""


def third_octaves(shortest: float, longest: float) -> np.ndarray:
    """Return the edges of third-octave bands, 2^(k/3) degrees, that cover a range of wavelengths."""
    first = np.floor(3 * np.log2(shortest) + 1e-9)
    last = np.floor(3 * np.log2(longest) + 1e-9) + 1
    return np.asarray(2.0 ** (np.arange(first, last + 1) / 3))


class Spectra(Diagnostic):
    """Power, squared coherence and effective resolution."""

    name = "spectra"
    scores = (
        Score(
            key="resolution",
            name="effective resolution: wavelength, in degrees of longitude, under which the squared coherence with "
            "the truth falls below 0.5",
            unit="degrees",
            better="lower",
            source="after Ballarotta et al. 2019, doi 10.5194/os-15-1091-2019 (there: noise-to-signal ratio 0.5)",
            form=".2f",
            head="res.",
        ),
        Score(
            key="power_small",
            name="power at wavelengths under 1 degree of longitude, over the truth's",
            unit="",
            better="one",
            source="Skamarock 2004, doi 10.1175/MWR2830.1",
            form=".2f",
            head="P<1°",
        ),
    )

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        grid = setting.grid
        self.rows = np.flatnonzero(abs(grid.latitudes) <= FARTHEST)
        waves = np.arange(1, grid.columns // 2 + 1)
        enough = self.rows.size and grid.columns >= FEWEST_NODES
        self.wavelengths = grid.columns * grid.step / waves[: None if enough else 0]
        self.window = _window(grid)

    def gap(self, sums: Sums) -> str:
        """Explain why there is no spectrum, or how many rows are left out."""
        columns, (used, left_out) = self.setting.grid.columns, sums["rows"].tolist()
        if columns < FEWEST_NODES:
            return f"{columns} columns are too few for a spectrum (at least {FEWEST_NODES})"
        if not self.rows.size:
            return f"no row between {FARTHEST:g} S and {FARTHEST:g} N for a spectrum"
        if left_out:
            whole = used + left_out
            return f"{left_out} of {whole} rows have missing values and no spectrum"
        return ""

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return power and cross spectra, (kinds, 4, wavelengths), and the numbers of rows used and left out."""
        products = np.zeros((len(KINDS), 4, self.wavelengths.size))
        rows = np.zeros(2, np.int64)
        for i in block.scored if self.wavelengths.size else []:
            truth, method = block.truth[i, self.rows], made[i, self.rows]
            whole = ~(np.isnan(truth) | np.isnan(method)).any(axis=1)
            rows += whole.sum(), (~whole).sum()
            for k, kind in enumerate(KINDS):
                true = block.once((kind, i), partial(self._waves, truth, kind))
                ours = self._waves(method[whole], kind)
                products[k] += _products(true if whole.all() else true[whole], ours)
        return Sums({"products": products, "rows": rows})

    def _waves(self, values: np.ndarray, kind: str) -> np.ndarray:
        """Return the transforms of each row's deviations from its mean, (rows, wavelengths)."""
        values = values.astype(np.float64)
        if kind == "logarithms":
            values = np.log(np.maximum(values, FLOOR))
        # Not BLAS: its threads would busy-wait between these few products.
        means = np.einsum("ij,j->i", values, self.window) / self.window.sum()
        values -= means[:, None]
        values *= self.window
        return np.asarray(fft.rfft(values, axis=1)[:, 1:])

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the effective resolution and the ratio of power at small scales, of the values."""
        truth, method, _, _ = sums["products"][0]
        small = self.wavelengths < SMALL
        bands = [row for row in self.table(sums) if row["of"] == KINDS[0]]
        return {
            "resolution": effective_resolution(
                np.array([row["wavelength"] for row in bands]),
                np.array([row["coherence"] for row in bands]),
            ),
            "power_small": float(ratio(method[small].sum(), truth[small].sum())),
        }

    def table(self, sums: Sums) -> list[Row]:
        """Return one row per kind and third-octave band."""
        if not sums["rows"][0]:
            return []
        edges = third_octaves(2 * self.setting.grid.step, float(self.wavelengths[0]))
        # The factor puts a wavelength on an edge into the longer band, despite rounding.
        band = np.digitize(self.wavelengths * (1 + 1e-9), edges) - 1
        found: list[Row] = []
        for kind, products in zip(KINDS, sums["products"], strict=True):
            for k in np.unique(band)[::-1].tolist():
                truth, method, real, imaginary = products[:, band == k].sum(axis=1)
                cross = real**2 + imaginary**2
                row: Row = {"of": kind, "from": edges[k], "to": edges[k + 1]}
                row["wavelength"] = np.sqrt(edges[k] * edges[k + 1])
                row["power_truth"], row["power"] = truth, method
                row["power_ratio"] = ratio(method, truth)
                row["coherence"] = ratio(cross, truth * method)
                row = {
                    name: each if name == "of" else float(each)
                    for name, each in row.items()
                }
                used, left_out = sums["rows"].tolist()
                found.append(row | {"rows": used, "rows_left_out": left_out})
        return found


def _window(grid: Grid) -> np.ndarray:
    """Return a Hann window for rows of a region; ones for rows that span the globe."""
    if grid.periodic:
        return np.ones(grid.columns)
    turn = 2 * np.pi * (np.arange(grid.columns) + 0.5) / grid.columns
    return np.asarray(0.5 - 0.5 * np.cos(turn))


def _products(t: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Return both power spectra, and real and imaginary part of the cross spectrum, summed over rows: (4, waves)."""
    pairs = (t.real, t.imag), (m.real, m.imag)
    (tr, ti), (mr, mi) = pairs
    powers = [(a * a + b * b).sum(axis=0) for a, b in pairs]
    crossed = (tr * mr + ti * mi).sum(axis=0), (ti * mr - tr * mi).sum(axis=0)
    return np.stack([*powers, *crossed])


def effective_resolution(wavelengths: np.ndarray, coherence: np.ndarray) -> float:
    """Return the longest wavelength at which the squared coherence falls below :data:`COHERENT`.

    It is interpolated between band centres in the logarithm of the wavelength. It is the shortest wavelength if the
    coherence never falls below, and NaN if already the longest scale is not coherent or there is no band.

    Args:
        wavelengths: wavelength of each band, degrees, in any order.
        coherence: squared coherence of each band; NaN is ignored.
    """
    known = np.isfinite(coherence)
    order = np.argsort(-wavelengths[known])
    length, value = wavelengths[known][order], coherence[known][order]
    below = np.flatnonzero(value < COHERENT)
    if not length.size or (below.size and below[0] == 0):
        return float("nan")
    if not below.size:
        return float(length[-1])
    k = int(below[0])
    share = (value[k - 1] - COHERENT) / (value[k - 1] - value[k])
    return float(length[k - 1] * (length[k] / length[k - 1]) ** share)
