"""What a process does with the memory that its arrays leave."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from deepcams.downscaling.memory import keep_memory
keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(4_000_000, np.float32)
before = faults()
for _ in range(3):
    np.ones(4_000_000, np.float32)
print(faults() - before)
"""
"""Arrays of 16 MB: 3,906 pages of 4 KiB each time, if they are fetched anew."""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is set")
def test_the_pages_of_a_freed_array_are_there_for_the_next() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 500
