"""How far the networks are from the golden outputs: ``python tests/networks/golden.py FOLDER float32|float64``.

Prints JSON, output -> max |difference| / max |value|. A script of its own, because the kernels that oneDNN chooses
(``ONEDNN_MAX_CPU_ISA``) must be named before torch first uses it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from deepcams.networks.published import abpn_from_published, xvfi_from_published

XVFI = {
    "xvfi_released_nf16_s1": {},
    "xvfi_original_nf16_s3": {"depth": 3, "training_depth": 3, "validity_mask": True},
}


def differences(folder: Path, dtype: torch.dtype) -> dict[str, float]:
    with torch.no_grad():
        return {**_xvfi(folder, dtype), **_abpn(folder, dtype)}


def _xvfi(folder: Path, dtype: torch.dtype) -> dict[str, float]:
    found = {}
    for name, options in XVFI.items():
        tensors, frames, expected = _read(folder / f"{name}.npz", dtype)
        network = xvfi_from_published(tensors, name, **options).to(dtype)
        frames = frames.transpose(1, 2)
        third = torch.full((frames.shape[0],), 1 / 3, dtype=dtype)
        levels = network.levels(frames, third)
        inner = network.interpolate(frames, [1 / 3, 2 / 3])
        got = {f"train_level{i}": level.frame for i, level in enumerate(levels)}
        got |= {
            "train_flow0": levels[0].flow,
            "train_flow1": levels[-1].flow,
            "train_occ0": levels[0].occlusion,
        }
        got |= {"t0.3333": inner[:, 0], "t0.6667": inner[:, 1]}
        assert got.keys() == expected.keys(), "a golden output without its counterpart"
        found |= {
            f"{name} {output}": _difference(got[output], expected[output])
            for output in expected
        }
    return found


def _abpn(folder: Path, dtype: torch.dtype) -> dict[str, float]:
    tensors, frame, expected = _read(folder / "abpn_dim8.npz", dtype)
    found = {}
    for attention in ("sdpa", "materialised"):
        network = abpn_from_published(tensors, "abpn_dim8", attention=attention).to(
            dtype
        )
        found[f"abpn_dim8 {attention}"] = _difference(
            network.refine(frame), expected["y"]
        )
    return found


def _read(
    path: Path, dtype: torch.dtype
) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    with np.load(path) as archive:
        arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
    tensors = {
        key.removeprefix("w/"): array
        for key, array in arrays.items()
        if key.startswith("w/")
    }
    (frames,) = (array for key, array in arrays.items() if key.startswith("in/"))
    expected = {
        key.removeprefix("out/"): array
        for key, array in arrays.items()
        if key.startswith("out/")
    }
    return tensors, frames.to(dtype), expected


def _difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    print(json.dumps(differences(Path(sys.argv[1]), getattr(torch, sys.argv[2]))))
