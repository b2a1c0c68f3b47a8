"""HTTP for MSAL and for the few questions to Graph about our own application, with the trust that a connector asks for.

Source: MSAL's ``http_client`` protocol: ``get`` and ``post`` give something with ``status_code``, ``text`` and
``headers``.
Shape: `HttpClient` over the standard library; it blocks and is used in a thread. Unlike a client that takes one file of
authorities, it trusts the system's and the connector's further ones together, and no variable of the environment
changes what it trusts. Proxies come from the environment, as everywhere. Redirects are not followed: what is sent here
is secret, and meant for one host.
Failures: ``OSError`` (``urllib.error.URLError``) when no answer came; an answer of any status is an answer.
Leaves to others: what is asked (MSAL, ``deliver.expiry``), what the answer means (``deliver.tokens``).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_OCTETS = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What MSAL reads of a response."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """MSAL asks for this where only a success makes sense."""
        if self.status_code >= 400:
            raise OSError(f"the authority answered {self.status_code}")


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Leave the answer as it is."""


class HttpClient:
    """One client for one exchange with an authority.

    Attributes:
        retry_after: Seconds that the last answer asked to wait for, or None.
    """

    def __init__(self, ca: Path | None = None, timeout: float = TIMEOUT_SECONDS, *, is_local: bool = False) -> None:
        """Prepare.

        Args:
            ca: PEM file with further authorities to trust.
            is_local: The metadata service of this machine is asked: plain HTTP, and never by a proxy.

        Raises:
            OSError: The file cannot be used.
        """
        self.retry_after: float | None = None
        self._is_local = is_local
        if is_local:
            self._opener = build_opener(ProxyHandler({}), HTTPHandler(), _NoRedirect())
        else:
            context = ssl.create_default_context()
            if ca is not None:
                try:
                    context.load_verify_locations(ca)
                except OSError as error:
                    raise OSError(f"the authorities in {ca} cannot be read: {error.strerror}") from error
            self._opener = build_opener(HTTPSHandler(context=context), _NoRedirect())
        self._timeout = timeout

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> Answered:
        """Ask with GET."""
        return self._ask(Request(_with(url, params), headers=dict(headers or {})))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> Answered:
        """Send a form with POST."""
        form = urlencode(dict(data or {})).encode()
        return self._ask(Request(_with(url, params), data=form, headers=dict(headers or {}), method="POST"))

    def post_json(self, url: str, body: object, headers: Mapping[str, str]) -> Answered:
        """Send an object with POST; for Graph."""
        data = json.dumps(body).encode()
        return self._ask(Request(url, data=data, headers={**headers, "Content-Type": "application/json"}))

    def close(self) -> None:
        """Nothing is kept open."""

    def _ask(self, request: Request) -> Answered:
        if not self._is_local and not request.full_url.startswith("https://"):
            raise OSError("an authority is only asked over https")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return self._read(answer.status, answer.read(MAX_ANSWER_OCTETS), answer.headers.items())
        except HTTPError as error:
            with error:
                return self._read(error.code, error.read(MAX_ANSWER_OCTETS), error.headers.items())

    def _read(self, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> Answered:
        fields = dict(headers)
        self.retry_after = _seconds(next((v for k, v in fields.items() if k.lower() == "retry-after"), ""))
        return Answered(status, body.decode(errors="replace"), fields)


def _seconds(text: str) -> float | None:
    """``Retry-After`` in seconds; Entra and Graph send no dates."""
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text.strip().isdecimal() else None


def _with(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
