"""The Atmosphere Data Store, through its own client: what it says, in sentences that tell what to do."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from deepcams.fetch.credentials import Key
from deepcams.fetch.download import unreached
from deepcams.fetch.endpoints import ADS_PROFILE, CAMS_DATASET, CAMS_PAGE, USER_AGENT
from deepcams.fetch.retry import (
    TRANSIENT,
    FetchError,
    Patience,
    RefusedError,
    TryAgainError,
    retry_after,
)
from deepcams.files.optional import need

T = TypeVar("T")


class LostError(FetchError):
    """A request is no longer known to the service, or has failed; it may be submitted again."""


class Ads:
    """The data set at the data store.

    Args:
        url: the API's root.
        key: to it.
        patience: for how long; the client's own waits are switched off, because they ignore ``Retry-After``.
    """

    def __init__(self, url: str, key: Key, patience: Patience) -> None:
        self._url, self._key, self._patience = url, key, patience
        self._client = _polite_client()(
            url=url,
            key=key.value,
            timeout=patience.timeout,
            progress=False,
            cleanup=False,
            maximum_tries=1,
            retry_after=0,
            log_callback=lambda *_, **__: None,
        )

    def estimate(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the service says a request costs: ``cost``, ``limit`` and more, as far as it says."""
        return self._ask(
            "the cost of a request",
            lambda: dict(self._client.estimate_costs(CAMS_DATASET, request)),
        )

    def submit(self, request: dict[str, Any], what: str) -> str:
        """Queue a request.

        Returns:
            its id.
        """
        return self._ask(what, lambda: str(self._client.submit(CAMS_DATASET, request).request_id))

    def status(self, number: str, what: str) -> str:
        """``accepted``, ``running`` or ``successful``.

        Raises:
            LostError: failed, or no longer known.
        """

        def ask() -> str:
            remote = self._client.get_remote(number)
            return "successful" if remote.results_ready else str(remote.last_status)

        return self._ask(what, ask)

    def result(self, number: str, what: str) -> tuple[str, int]:
        """Where the finished request's file is, and how long it is."""

        def ask() -> tuple[str, int]:
            results = self._client.get_remote(number).get_results()
            return results.location, results.content_length

        return self._ask(what, ask)

    def _ask(self, what: str, do: Callable[[], T]) -> T:
        requests, processing = need("requests"), need("ecmwf.datastores.processing")

        def once() -> T:
            try:
                return do()
            except requests.HTTPError as error:
                raise self._judged(error, what) from None  # its text may hold what the key opens
            except (requests.ConnectionError, requests.Timeout) as error:
                none = unreached(error)
                kind = (
                    "is silent (time-out)"
                    if isinstance(error, requests.Timeout) and not none
                    else "cannot be reached"
                )
                raise TryAgainError(f"the data store {kind}", unreached=none) from None
            except processing.ProcessingFailedError as error:
                raise _failed(str(error).replace(self._key.value, "(key)"), what) from None
            except (
                requests.RequestException,
                processing.LinkError,
                KeyError,
                ValueError,
                TypeError,
            ) as error:
                raise TryAgainError(
                    f"the data store's answer cannot be read ({type(error).__name__})"
                ) from None

        return self._patience.persist(what, once)

    def _judged(self, error: Any, what: str) -> Exception:
        response = error.response
        if response is None:
            return TryAgainError("the data store broke the connection off")
        # a service may repeat in its message what it was sent
        status, text = response.status_code, _detail(response).replace(self._key.value, "(key)")
        lower = text.lower()
        if "licence" in lower or "license" in lower:
            return RefusedError(
                f"the licence of the data set is not accepted yet: log in, open {CAMS_PAGE}, tab Download, accept the "
                "terms at its end, and give the same command again"
            )
        if "queue" in lower or "too many" in lower or "requests per user" in lower:
            return TryAgainError(
                "your queue at the data store is full",
                retry_after(response.headers.get("Retry-After")),
            )
        if _too_large(lower):
            return RefusedError(
                f"{what}: the request is too large for the data store; ask for less with --per-request day"
            )
        if status == 401 or (status == 403 and ("auth" in lower or "token" in lower or not lower)):
            return RefusedError(
                f"the data store does not accept the key found in {self._key.found}: it is mistyped or expired; copy "
                f"your token from {ADS_PROFILE} again"
            )
        if status == 404 and "job" not in lower and "request" not in lower:
            return RefusedError(
                f"{self._url} does not have the data set {CAMS_DATASET}: is it another data store's address? the "
                "Atmosphere Data Store's is needed (--endpoint ads=URL)"
            )
        if status in (404, 410):
            return LostError(f"{what}: the data store no longer knows the request")
        if status in TRANSIENT:
            return TryAgainError(
                f"the data store answers {status}", retry_after(response.headers.get("Retry-After"))
            )
        return FetchError(
            f"{what}: the data store answers {status}: {text[:200] or 'nothing more'}"
        )


def _detail(response: Any) -> str:
    try:
        found = response.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return " ".join(
        str(found[key]) for key in ("title", "detail", "message", "traceback") if found.get(key)
    )


def _too_large(text: str) -> bool:
    return any(
        words in text
        for words in ("too large", "cost limit", "limits exceeded", "exceeds the limit")
    )


def _failed(message: str, what: str) -> Exception:
    if _too_large(message.lower()):
        return RefusedError(
            f"{what}: the request is too large for the data store; ask for less with --per-request day"
        )
    text = " ".join(message.split())[:200]
    return LostError(
        f"{what}: the request failed at the data store" + (f" ({text})" if text else "")
    )


def _polite_client() -> Any:
    """The client, saying who asks."""
    base = need("ecmwf.datastores").Client
    # it would tell its own messages beside the progress bar
    logging.getLogger("ecmwf.datastores").setLevel(logging.ERROR)
    logging.getLogger("multiurl").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"ecmwf\.datastores")

    class Polite(base):  # type: ignore[misc,valid-type]
        def __attrs_post_init__(self) -> None:
            """Nothing: the client asks for news here, which needs patience, and is done without."""

        def _get_headers(self, key_is_mandatory: bool = True) -> dict[str, str]:
            headers: dict[str, str] = super()._get_headers(key_is_mandatory)
            return {**headers, "User-Agent": f"{USER_AGENT} {headers['User-Agent']}"}

    return Polite
