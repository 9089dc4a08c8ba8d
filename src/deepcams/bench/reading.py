"""Read inputs whole and do nothing with them: ``python -m deepcams.bench.reading PATH...``."""

from __future__ import annotations

import sys
from pathlib import Path

from deepcams.files.optional import need
from deepcams.readers.frames import read_block
from deepcams.readers.open import open_field
from deepcams.training.store.open import Prepared, identity_of

_TOGETHER = 24


def read(path: Path) -> int:
    """Read all values of a table of stations (Parquet), a training store, or fields; return how many."""
    if path.suffix == ".parquet":
        table = need("duckdb").execute("FROM read_parquet(?)", [str(path)])
        return sum(map(len, table.fetchnumpy().values()))
    if identity_of(path) is not None:
        store = Prepared.open(path)
        return sum(
            store.frame(hour, resolution).size
            for hour in range(len(store))
            for resolution in ("fine", "coarse")
        )
    field = open_field(path)
    return sum(
        read_block(field, slice(first, first + _TOGETHER)).size
        for first in range(0, field.sizes["time"], _TOGETHER)
    )


if __name__ == "__main__":
    for each in sys.argv[1:]:
        read(Path(each))
