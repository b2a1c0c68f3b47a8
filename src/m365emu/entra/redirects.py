"""The way back to the application.

Purpose: decide whether a code may be sent to an address, and read the rest of an authorization request.
Source: RFC 6749 3.1.2 and 4.1.1, RFC 7636 4.3, RFC 8252 7.3 (any port of the loopback interface); "Redirect URI
(reply URL) best practices and limitations".
Shape: pure functions. Failures: `EntraError`. Leaves to others: pages and people (`sign_in`).
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from m365emu.applications import Application
from m365emu.entra import errors
from m365emu.entra.errors import EntraError

RESPONSE_MODES = ("query", "fragment", "form_post")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_ADDRESS = re.compile(r"[!-~]{1,2000}")


def way_back(client_id: str, application: Application, given: str) -> str | EntraError:
    """Return where to send the answer: the address in the request, or the one that is registered.

    Args:
        client_id: the application.
        application: its registration.
        given: the parameter `redirect_uri`, empty when there is none.
    """
    if not given:
        return application.redirect_uris[0] if application.redirect_uris else errors.REDIRECT_MISSING()
    if any(_covers(registered, given) for registered in application.redirect_uris):
        return given
    return errors.REDIRECT_MISMATCH(given=given[:500], client_id=client_id)


def check_request(query: Mapping[str, str]) -> EntraError | None:
    """Say what is wrong with an authorization request, once it is known where to send the answer."""
    if query.get("response_type", "").split() != ["code"]:
        return errors.RESPONSE_TYPE_UNSUPPORTED(given=query.get("response_type", "")[:100])
    if query.get("response_mode", "query") not in RESPONSE_MODES:
        return errors.MALFORMED_REQUEST()
    if query.get("code_challenge_method", "plain") not in ("plain", "S256"):
        return errors.MALFORMED_REQUEST()
    challenge = query.get("code_challenge", "")
    if challenge and not _CHALLENGE.fullmatch(challenge):
        return errors.CHALLENGE_INVALID()
    return None


def _covers(registered: str, given: str) -> bool:
    if registered == given:
        return True
    try:
        ours, theirs = urlsplit(registered), urlsplit(given)
        loopback = _is_loopback(ours) and _is_loopback(theirs)
    except ValueError:
        return False
    # The parser drops line breaks, a header must not have them.
    return (
        loopback and bool(_ADDRESS.fullmatch(given)) and ours.hostname == theirs.hostname and _same_path(ours, theirs)
    )


def _is_loopback(url: SplitResult) -> bool:
    """Say whether an address is one of this machine; raises `ValueError` for a port that is none."""
    return url.scheme == "http" and url.hostname in _LOOPBACK and "@" not in url.netloc and url.port != 0


def _same_path(ours: SplitResult, theirs: SplitResult) -> bool:
    return (ours.path or "/") == (theirs.path or "/") and ours.query == theirs.query and not theirs.fragment
