"""Fuzzing needs Linux: limits of a process, and what it takes of memory."""

import sys

collect_ignore = [] if sys.platform == "linux" else ["test_fuzz.py"]
