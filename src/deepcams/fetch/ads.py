"""Access to the Atmosphere Data Store through ECMWF's client: API key, requests, and explanation of errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from deepcams.core.errors import notice
from deepcams.fetch.base import Key
from deepcams.fetch.download import Http
from deepcams.fetch.endpoints import ADS_PROFILE, CAMS_DATASETS, CamsDataset
from deepcams.fetch.retry import TRANSIENT, FetchError, RefusedError, RetryableError

T = TypeVar("T")

KEY_VARIABLES = ("ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY")
"""Environment variables that may hold the data store's key, in order of precedence."""
KEY_FILES = (".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc")
"""Files in the home folder with lines ``url: ..`` and ``key: ..``, in order of precedence."""


def ads_key(
    endpoint: str,
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
    dataset: CamsDataset = CAMS_DATASETS["reanalysis"],
) -> Key:
    """Find the data store's key.

    The Climate Data Store uses the same token at another address: from a key file made for it only the key is used.

    Raises:
        RefusedError: no key was found; the message says how to get one.
    """
    environment = os.environ if environment is None else environment
    for name in KEY_VARIABLES:
        value = environment.get(name, "").strip()
        if value:
            url = name.replace("_KEY", "_URL")
            _report_other_address(f"${url}", environment.get(url, ""), endpoint)
            return Key(value, f"${name}")
    paths = [(home or Path.home()) / name for name in KEY_FILES]
    own = environment.get("ECMWF_DATASTORES_RC_FILE", "").strip()
    if own:
        paths.insert(0, Path(own))
    for path in paths:
        lines = _lines(path)
        if lines.get("key"):
            _report_other_address(str(path), lines.get("url", ""), endpoint)
            return Key(lines["key"], str(path))
    raise RefusedError(
        f"the Atmosphere Data Store needs a key: register and copy your personal token from {ADS_PROFILE}, put it into "
        f"${KEY_VARIABLES[0]} or a line 'key: TOKEN' of ~/{KEY_FILES[0]}, and accept the licence once on {dataset.page}"
    )


def _lines(path: Path) -> dict[str, str]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def _report_other_address(where: str, url: str, endpoint: str) -> None:
    other, host = urlsplit(url.strip()).hostname, urlsplit(endpoint).hostname
    if other and other != host:
        notice(f"{where} is for {other}; its key is used, and {host} is asked")


class LostError(FetchError):
    """A request failed or is no longer known to the service; it may be submitted again."""


class Ads:
    """A data set at the data store, through ECMWF's client, with errors that say what to do.

    Args:
        url: root URL of the API.
        key: key of the API.
        http: session with retries; those of the client are disabled, because they ignore ``Retry-After``.
        dataset: the data set.
    """

    def __init__(self, url: str, key: Key, http: Http, dataset: CamsDataset) -> None:
        import requests
        from ecmwf.datastores import Client

        self._url, self._key, self._http = url, key, http
        self._dataset = dataset
        # The client requests service news on construction, unless its server is unreachable.
        nowhere = requests.Session()
        nowhere.adapters.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self._client = Client(
                url=url,
                key=key.value,
                timeout=http.policy.timeout,
                progress=False,
                maximum_tries=1,
                retry_after=0,
                session=nowhere,
                log_callback=lambda *_, **__: None,
            )
        self._client.session = http.session

    def costs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the cost of a request according to the service: ``cost``, ``limit`` and others, if given."""
        return self._ask(
            "the cost of a request",
            lambda: self._client.estimate_costs(self._dataset.name, request),
        )

    def submit(self, request: dict[str, Any], what: str) -> str:
        """Queue a request and return its id."""
        return self._ask(
            what,
            lambda: str(self._client.submit(self._dataset.name, request).request_id),
        )

    def ready(self, number: str, what: str) -> bool:
        """Return whether a request's result is ready.

        Raises:
            LostError: the request failed or is no longer known.
        """
        return self._ask(
            what, lambda: bool(self._client.get_remote(number).results_ready)
        )

    def result(self, number: str, what: str) -> tuple[str, int]:
        """Return the URL and size, bytes, of a finished request's file."""

        def ask() -> tuple[str, int]:
            results = self._client.get_results(number)
            return results.location, results.content_length

        return self._ask(what, ask)

    def _ask(self, what: str, do: Callable[[], T]) -> T:
        import requests
        from ecmwf.datastores.processing import LinkError, ProcessingFailedError

        def once() -> T:
            try:
                return do()
            except requests.HTTPError as error:
                raise self._refusal(
                    error.response, what
                ) from None  # its text may hold the key
            except ProcessingFailedError as error:
                raise _failure(
                    str(error).replace(self._key.value, "(key)"), what
                ) from None
            except (
                LinkError,
                KeyError,
                ValueError,
                TypeError,
                AssertionError,
            ) as error:
                kind = type(error).__name__
                raise RetryableError(
                    f"the data store's answer cannot be read ({kind})"
                ) from None

        return self._http.call(what, once)

    def _refusal(self, response: Any, what: str) -> Exception:
        """Convert an error response to an exception; its message may echo the request, including the key."""
        status, text = (
            response.status_code,
            _detail(response).replace(self._key.value, "(key)"),
        )
        lower = text.lower()
        if "licence" in lower or "license" in lower:
            return RefusedError(
                f"the licence of the data set is not accepted yet: log in, open "
                f"{self._dataset.page}, tab Download, accept the terms at its end, and give the same command again"
            )
        if "queue" in lower or "too many" in lower or "requests per user" in lower:
            return RetryableError("your queue at the data store is full")
        if _too_large(lower):
            return _failure(text, what)
        if status == 401 or (
            status == 403 and ("auth" in lower or "token" in lower or not lower)
        ):
            return RefusedError(
                f"the data store does not accept the key found in {self._key.found}: it is mistyped or expired; copy "
                f"your token from {ADS_PROFILE} again"
            )
        if status == 404 and "job" not in lower and "request" not in lower:
            return RefusedError(
                f"{self._url} does not have the data set {self._dataset.name}: is it another data store's address? the "
                "Atmosphere Data Store's is needed (--endpoint ads=URL)"
            )
        if status in (404, 410):
            return LostError(f"{what}: the data store no longer knows the request")
        if status in TRANSIENT:
            tried = f"{self._http.policy.tried}; try again later"
            return FetchError(f"{what}: the data store answers {status} {tried}")
        return FetchError(
            f"{what}: the data store answers {status}: {text[:200] or 'nothing more'}"
        )


def _detail(response: Any) -> str:
    """Return the error message of a JSON response."""
    try:
        found = response.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    keys = ("title", "detail", "message", "traceback")
    return " ".join(str(found[key]) for key in keys if found.get(key))


def _too_large(text: str) -> bool:
    known = ("too large", "cost limit", "limits exceeded", "exceeds the limit")
    return any(words in text for words in known)


def _failure(message: str, what: str) -> FetchError:
    if _too_large(message.lower()):
        return RefusedError(
            f"{what}: the request is too large for the data store; ask for less with --per-request day"
        )
    text = " ".join(message.split())[:200]
    return LostError(
        f"{what}: the request failed at the data store" + (f" ({text})" if text else "")
    )
