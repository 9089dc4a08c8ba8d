"""Open inputs in a child process with limits: libraries in C may crash, and what hangs must be ended.

The child says of each input whether it was opened, refused in one line, or at fault. Run as a program it is the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 40.0
"""Longest time for one input, on a busy machine and with the imports of its door."""
ADDRESSES = 4 << 30
"""Bytes that an input may add to the child's address space; what asks for more fails."""
RESIDENT = 2 << 30
"""Bytes of memory that an input may take."""
LONGEST = 1000
"""Letters of a message."""
_AGED = 400
"""Inputs after which a child is replaced: libraries keep what they could not close."""
_OUT = "out"


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Attributes:
        kind: ``opened``, ``refused``, ``fault`` or ``crash`` (of the process: a library's).
        about: the message; of a fault what is wrong.
        where: of a fault or crash: the last line of deepcams, by which faults are told apart.
        seconds, bytes: what it took.
    """

    kind: str
    about: str = ""
    where: str = ""
    seconds: float = 0.0
    bytes: int = 0


def _quick_folder() -> str | None:
    """Return a folder in memory with some room, if there is one: most of the time would go into forcing to disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > (1 << 30)
    return str(memory) if roomy and os.access(memory, os.W_OK) else None


class Child:
    """A child process that opens inputs, replaced when it crashes, hangs or is old.

    Args:
        seconds: longest time for one input.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._root = Path(tempfile.mkdtemp("", "deepcams-fuzz-", _quick_folder()))
        self._process: subprocess.Popen[bytes] | None = None
        self._opened = 0

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
        shutil.rmtree(self._root, ignore_errors=True)

    def open(self, door: str, files: dict[str, bytes]) -> Outcome:
        """Open one input of a door: all files of its folder."""
        if self._opened >= _AGED:
            self._end()
        process = self._process or self._begin()
        folder = self._root / "input" / "folder"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert process.stdin is not None
        assert process.stdout is not None
        began = time.monotonic()
        self._opened += 1
        try:
            process.stdin.write(f"{door} {folder}\n".encode())
            process.stdin.flush()
            ready = select.select([process.stdout], [], [], self._seconds)[0]
            line = process.stdout.readline() if ready else b""
        except BrokenPipeError:
            ready, line = [process.stdout], b""
        seconds = time.monotonic() - began
        outside = self._outside()
        shutil.rmtree(folder.parent, ignore_errors=True)
        if not line:
            words = self._last_words(process) if ready else "no answer: it hangs"
            self._end()
            if ready:
                return Outcome("crash", f"signal {-process.returncode}", words, seconds)
            return Outcome("fault", words, "hangs", seconds)
        if outside:
            self._end()
            return Outcome("fault", f"files outside: {outside}", "outside", seconds)
        return Outcome(**json.loads(line))

    def _begin(self) -> subprocess.Popen[bytes]:
        shutil.rmtree(self._root, ignore_errors=True)
        for name in ("input", "cache", "home", "tmp", _OUT):
            (self._root / name).mkdir(parents=True)
        here = Path(__file__)
        source = here.parents[2] / "src"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{source}{os.pathsep}{here.parents[1]}",
            "DEEPCAMS_CACHE": str(self._root / "cache"),
            "HOME": str(self._root / "home"),
            "TMPDIR": str(self._root / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(self._root / "tmp"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with (self._root / "stderr").open("wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, str(here), str(self._root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=environment,
                cwd=self._root / "tmp",
                start_new_session=True,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError((self._root / "stderr").read_text(errors="replace"))
        self._opened = 0
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _outside(self) -> list[str]:
        """Return what is where nothing may be written."""
        known = {"input", "cache", "home", "tmp", _OUT, "stderr"}
        strange = [p.name for p in self._root.iterdir() if p.name not in known]
        strange += [
            p.name for p in (self._root / "input").iterdir() if p.name != "folder"
        ]
        escaped = Path("/tmp").glob("deepcams-fuzz-escape*")
        return strange + [str(path) for path in escaped]

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        process.wait()
        words = (self._root / "stderr").read_text(errors="replace")
        lines = words[max(words.rfind("Fatal Python error"), 0) :].splitlines()
        frames = [line.strip() for line in lines if line.strip().startswith("File")]
        own = [f for f in frames if "/deepcams/" in f]
        library = frames[0] if frames else (lines[-1] if lines else "?")
        return " <- ".join(_short(line) for line in (library, *own[:1]))


def _short(line: str) -> str:
    for mark in ("site-packages/", "src/"):
        line = line.rpartition(mark)[2] if mark in line else line
    return line.replace('"', "")[:120]


# In the child


def _attempt(door: Any, folder: Path) -> Outcome:
    began, before = time.monotonic(), _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    refused, opened = "", 0
    files = sorted(folder.rglob("*"))
    for way in door.opens:
        try:
            way(folder)
            opened += 1
        except BaseException as error:
            found = _judge(error)
            if found.kind == "fault":
                return found
            refused = found.about
    if not door.writes and sorted(folder.rglob("*")) != files:
        return Outcome("fault", "files beside the input", "beside")
    took = max(_memory("VmHWM") - before, 0)
    seconds = time.monotonic() - began
    if took > RESIDENT:
        about = f"takes {took / 2**30:.1f} GiB ({refused or 'opened'})"
        return Outcome("fault", about, "memory", seconds, took)
    kind = "opened" if opened else "refused"
    return Outcome(kind, refused, "", seconds, took)


def _judge(error: BaseException) -> Outcome:
    from deepcams.core.errors import DeepcamsError

    if isinstance(error, SystemExit | KeyboardInterrupt):
        raise error
    text = str(error)
    chain = list(_chain(error))
    where = _last_line(chain[-1].__traceback__) or _last_line(error.__traceback__)
    if any(
        isinstance(one, MemoryError) or "Unable to allocate" in str(one)
        for one in chain
    ):
        return Outcome("fault", f"memory: {text[:200]}", f"memory at {where}")
    if not isinstance(error, DeepcamsError):
        return Outcome("fault", f"{type(error).__name__}: {text[:200]}", where)
    if len(text) > LONGEST:
        return Outcome(
            "fault", f"a message of {len(text)} letters: {text[:200]}", where
        )
    if not text.isprintable():
        return Outcome("fault", f"unprintable: {text[:200]!r}", where)
    return Outcome("refused", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _last_line(trace: TracebackType | None) -> str:
    frames = [f for f in traceback.extract_tb(trace) if "/deepcams/" in f.filename]
    if not frames:
        return ""
    last = frames[-1]
    return f"{last.filename.rpartition('/deepcams/')[2]}:{last.lineno} {last.name}"


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def _guard(root: Path) -> None:
    """Leave a mark in the folder of any file that Python opens for writing, makes or removes elsewhere."""
    allowed = (f"{root}/", "/dev/null", "/dev/tty", "/proc/self/")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        path: Any = None
        if event == "open":
            name, mode, flags = arguments
            if (mode and set(mode) & set("wax+")) or (
                flags & (os.O_WRONLY | os.O_RDWR)
            ):
                path = name
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.symlink"):
            path = arguments[0]
        elif event == "os.rename":
            path = arguments[1]
        if isinstance(path, str | os.PathLike):
            full = os.path.abspath(os.fspath(path))  # noqa: PTH100
            if isinstance(full, str) and not full.startswith(allowed):
                (root / f"wrote {full.replace('/', '|')[-150:]}").mkdir(exist_ok=True)

    sys.addaudithook(hook)


def _warm_up(door: Any, folder: Path) -> None:
    """Open a door's seeds, so that imports do not count; then set the limit of memory."""
    from fuzz.doors import seeds_of

    folder.mkdir(parents=True)
    for seed in seeds_of(door, folder):
        for way in door.opens:
            with contextlib.suppress(Exception):
                way(folder / seed)
    shutil.rmtree(folder)
    limit = _memory("VmSize") + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def main(root: Path) -> None:
    """Open what each line of the standard input names (a door, a folder), and answer with a line."""
    import faulthandler

    faulthandler.enable()
    from fuzz.bad_doors import BAD
    from fuzz.doors import DOORS

    doors = {**DOORS, **BAD}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    _guard(root)
    answers.write("ready\n")
    answers.flush()
    warm = set()
    for k, line in enumerate(sys.stdin):
        name, _, folder = line.strip().partition(" ")
        if name not in warm:
            _warm_up(doors[name], root / "tmp" / "warm" / name)
            warm.add(name)
        if k % 50 == 49:
            shutil.rmtree(root / "cache", ignore_errors=True)
        outcome = _attempt(doors[name], Path(folder))
        answers.write(json.dumps(outcome.__dict__) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
