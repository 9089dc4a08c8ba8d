"""``deepcams view``: open the data and serve the page until stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deepcams.core.errors import notice
from deepcams.core.times import long_means_opened
from deepcams.readers.open import find_field_files, open_files
from deepcams.stations.archive.openaq import open_openaq
from deepcams.view.server import PORT, Server
from deepcams.view.session import Shown
from deepcams.view.station_layer import Stations
from deepcams.view.watch import Watch


def open_shown(
    store: Sequence[str | Path] | str | Path,
    original: Sequence[str | Path] | str | Path = (),
    stations: Sequence[str | Path] | str | Path = (),
    variable: str | None = None,
) -> Shown:
    """Open the data of a page, without reading values.

    Args:
        store: a field: output of deepcams, or anything that :func:`deepcams.open_field` opens.
        original: field shown beside it.
        stations: observations in the columns of OpenAQ's archive.
        variable: name of the variable of the fields; default: PM2.5.

    Raises:
        InputError: see :func:`deepcams.open_field` and :func:`deepcams.open_openaq`.
        MissingExtraError: stations are given and the extra [stations] is not installed.
    """
    files = find_field_files(store, urls=False)
    others = find_field_files(original, urls=False) if original else []
    watch = Watch([*files, *others])  # before reading anything
    with long_means_opened():
        ours = open_files(files, variable)
        beside = open_files(others, variable) if others else None
    parameter = {"pm2p5": "pm25"}.get(str(ours.name), str(ours.name))
    places = Stations(open_openaq(stations, parameter=parameter)) if stations else None
    first = store if isinstance(store, str | Path) else store[0]
    return Shown(ours, beside, places, Path(first).resolve().name, watch)


def view(
    shown: Shown,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    told: Callable[[str], None] | None = None,
    for_good: bool = False,
) -> bool:
    """Serve a page until the process is interrupted (Ctrl-C) or terminated.

    Args:
        shown: see :func:`open_shown`.
        host: address to listen on; any other than a loopback address gives others access.
        port: port to listen on; 0: any free one.
        told: called with the page's address once it can be opened.
        for_good: whether the process ends afterwards: Ctrl-C and SIGTERM are then ignored from the first one on, so
            that repeated ones do not interrupt the shutdown. Otherwise the previous handlers are restored.

    Returns:
        whether all threads are idle; otherwise a thread is still busy with a long response, and it may crash if the
        process exits normally.

    Raises:
        InputError: the port is taken, or the address does not belong to this machine.
    """
    with Server(shown, host, port) as server:
        if not server.loopback:
            notice(f"everyone who reaches {host} can read what is shown")
        before = _stop_once()
        try:
            if told is not None:
                told(server.url)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            pass
        finally:
            rest = [server.at_rest(), shown.close()]
            if not for_good:
                for ending, handler in before.items():
                    signal.signal(ending, handler or signal.SIG_DFL)
    return all(rest)


def _stop_once() -> dict[int, Any]:
    """Make the first Ctrl-C or SIGTERM interrupt, even in a background process; return the previous handlers.

    Later signals are ignored, because they would interrupt the shutdown itself.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    endings = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        for ending in endings:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    return {ending: signal.signal(ending, stop) for ending in endings}
