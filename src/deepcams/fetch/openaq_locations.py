"""Which locations measure what, and how well, from OpenAQ's API (version 3) through its own client."""

from __future__ import annotations

import http.client
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

from deepcams.fetch.credentials import Key
from deepcams.fetch.endpoints import OPENAQ_PROFILE, USER_AGENT
from deepcams.fetch.hours import Box
from deepcams.fetch.retry import FetchError, Patience, RefusedError, TryAgainError, retry_after
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.files.optional import need

_PAGE = 1000
STATIONS = "stations.json"
"""The file with what is known of the locations: what ``deepcams validate --metadata`` reads."""


def locations_of(
    url: str, key: Key, parameter: int, bbox: Box | None, country: str | None, patience: Patience
) -> list[dict[str, Any]]:
    """All locations with a sensor for a parameter.

    Args:
        url: the API's root.
        key: to it.
        parameter: OpenAQ's number of the parameter.
        bbox: W S E N in degrees; W > E crosses the dateline.
        country: two letters.
        patience: for how long; the client itself waits for its allowance of requests a minute.

    Raises:
        FetchError: the key is not accepted, or the service does not answer.
    """
    logging.getLogger("openaq").setLevel(logging.CRITICAL)
    client_of, errors = need("openaq").OpenAQ, need("openaq.core.exceptions")
    try:
        client = client_of(
            api_key=key.value, base_url=url.rstrip("/") + "/", _transport=_transport(url, patience)
        )
    except errors.ApiKeyMissingError:
        raise RefusedError(
            f"the OpenAQ key in {key.found} is none (64 digits 0-9 a-f are): copy it again from {OPENAQ_PROFILE}"
        ) from None
    client.headers["User-Agent"] = USER_AGENT
    found: dict[int, dict[str, Any]] = {}
    with client:
        for box in _boxes(bbox):
            page = 1
            while True:
                ask = partial(_ask, client, errors, key, page, parameter, box, country)
                answer = patience.persist("OpenAQ's locations", ask)
                found |= {int(one.id): _plain(one) for one in answer}
                if len(answer) < _PAGE:
                    break
                page += 1
    return [found[number] for number in sorted(found)]


def _transport(url: str, patience: Patience) -> Any:
    """The client's transport, which hands ``Retry-After`` on, and speaks plain HTTP to an address that says so."""
    module = need("openaq.core.transport")

    class Transport(module.Transport):  # type: ignore[misc,name-defined]
        def _raw_request(self, method: str, host: str, path: str, headers: Any) -> Any:
            if url.startswith("https"):
                answer = super()._raw_request(method, host, path, headers)
            else:
                connection = http.client.HTTPConnection(host, timeout=patience.timeout)
                try:
                    connection.request(method, path, headers=dict(headers))
                    raw = connection.getresponse()
                    answer = module.Response(raw.status, raw.read(), raw.msg)
                finally:
                    connection.close()
            if answer.status_code == 429:
                after = retry_after(answer.headers.get("retry-after"))
                raise TryAgainError("OpenAQ's allowance of requests is used up", after)
            return answer

    return Transport(timeout=patience.timeout)


def _boxes(bbox: Box | None) -> list[Box | None]:
    if bbox is None:
        return [None]
    west, south, east, north = bbox
    west, east = ((edge + 180) % 360 - 180 if abs(edge) != 180 else edge for edge in (west, east))
    return (
        [(west, south, east, north)]
        if west < east
        else [(west, south, 180.0, north), (-180.0, south, east, north)]
    )


def _ask(
    client: Any,
    errors: Any,
    key: Key,
    page: int,
    parameter: int,
    box: Box | None,
    country: str | None,
) -> list[Any]:
    try:
        wanted = {"bbox": box, "iso": country}
        answer = client.locations.list(
            page=page,
            limit=_PAGE,
            parameters_id=parameter,
            **{name: value for name, value in wanted.items() if value is not None},
        )
        return list(answer.results)
    except (errors.NotAuthorizedError, errors.ForbiddenError):
        raise RefusedError(
            f"OpenAQ does not accept the key in {key.found}: it is mistyped or expired; copy it again from "
            f"{OPENAQ_PROFILE}, or unset it (the archive needs none)"
        ) from None
    except TryAgainError:
        raise
    except errors.HTTPClientError as error:
        if isinstance(error, errors.TimeoutError):
            raise TryAgainError("OpenAQ answers 408") from None
        raise FetchError(
            f"OpenAQ's locations: the API refuses the request ({_short(error, key)})"
        ) from None
    except (errors.APIError, OSError) as error:
        raise TryAgainError(f"OpenAQ's API fails ({_short(error, key)})") from None
    except (errors.OpenAQError, ValueError, TypeError, KeyError) as error:
        raise TryAgainError(f"OpenAQ's answer cannot be read ({type(error).__name__})") from None
    except Exception as error:
        # the client's transport raises http.client's own errors where a connection breaks
        if type(error).__module__.startswith("http"):
            raise TryAgainError(
                f"the connection to OpenAQ broke ({type(error).__name__})"
            ) from None
        raise


def _short(error: Exception, key: Key) -> str:
    text = " ".join(
        str(error).replace(key.value, "(key)").split()
    )  # a service may repeat what it was sent
    return f"{type(error).__name__}: {text[:80]}".rstrip(": ")


def _plain(one: Any) -> dict[str, Any]:
    """What is kept of a location, named as the API names it."""
    coordinates = one.coordinates
    return {
        "id": int(one.id),
        "name": one.name,
        "timezone": one.timezone,
        "country": {"code": one.country.code},
        "provider": {"name": one.provider.name},
        "isMobile": bool(one.is_mobile),
        "isMonitor": bool(one.is_monitor),
        "coordinates": {"latitude": coordinates.latitude, "longitude": coordinates.longitude},
        "datetimeFirst": _utc(one.datetime_first),
        "datetimeLast": _utc(one.datetime_last),
    }


def _utc(stamp: Any) -> str | None:
    return None if stamp is None else str(getattr(stamp, "utc", "") or "") or None


def save(locations: list[dict[str, Any]], folder: Path) -> Path:
    """Keep them beside the data, as the API answers."""
    path = folder / STATIONS
    with os_errors_explained(path):
        write_atomically(
            path, (json.dumps({"results": locations}, ensure_ascii=False, indent=0) + "\n").encode()
        )
    return path


def load(folder: Path) -> list[dict[str, Any]] | None:
    """What was kept; ``None`` where nothing was."""
    try:
        found = json.loads((folder / STATIONS).read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, list) else None
