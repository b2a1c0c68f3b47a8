"""Read what an authority answered: a token, or why there is none in words that a person can use.

Source: RFC 6749 5; "Microsoft Entra authentication and authorization error codes", as ``microsoft.replies`` knows them.
Shape: `read_answer` gives a `Secret` or a `TokenProblem`.
Failures: values; whatever the authority repeats of what it was told is masked.
Leaves to others: asking (``deliver.authority``), what follows (``deliver.login``, ``deliver.graph``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from posthouse.deliver.authority import Answer, Asked, authority_of
from posthouse.deliver.secrets import Secret
from posthouse.microsoft.replies import find

_MAX_REASON = 600
_MAX_TOKEN = 64 * 1024
_LONGEST_LIFE = 172_800.0
_LONG = re.compile(r"[A-Za-z0-9_.~+/=-]{80,}")
"""Tokens, assertions and codes; no word of a sentence is so long."""
_CODE = re.compile(r"AADSTS\d+")
_NEEDS_PERSON = frozenset(
    {
        "access_denied",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "login_required",
        "unauthorized_client",
    }
)
"""Errors of RFC 6749 5.2 and OpenID Connect Core 3.1.2.6 that time does not heal."""


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """No token.

    Attributes:
        reason: A sentence for the operator, with the authority's code if it gave one.
        code: ``AADSTS7000215``, or the error's name; empty where no authority spoke.
        needs_operator: Nothing will change until a person acts.
        retry_after: What the authority asked for, else None.
    """

    reason: str
    code: str = ""
    needs_operator: bool = False
    retry_after: timedelta | None = None


def read_answer(asked: Asked, answer: Answer) -> tuple[Secret | TokenProblem, float]:
    """The token with its lifetime in seconds, or the problem."""
    token = answer.get("access_token")
    if isinstance(token, str) and 0 < len(token) <= _MAX_TOKEN and token.isascii() and token.isprintable():
        return Secret(token), _seconds(answer.get("expires_in"))
    error = str(answer.get("error") or "")
    words = _without(asked, str(answer.get("error_description") or error or "the authority gave no token"))
    # Ids and the time differ in each answer; the sign-in log of Entra has them.
    first_line = (words.strip() or error).splitlines()[0].partition(" Trace ID:")[0][:_MAX_REASON]
    code = _CODE.search(words)
    known = find(code[0] + ":") if code is not None else None
    retry_after = answer.get("retry_after")
    problem = TokenProblem(
        f"no token from {_host(asked)}: {first_line}",
        code=code[0] if code is not None else error,
        needs_operator=known.entry.retry.needs_operator if known is not None else error in _NEEDS_PERSON,
        retry_after=timedelta(seconds=retry_after) if isinstance(retry_after, float) else None,
    )
    return problem, 0.0


def _seconds(value: object) -> float:
    """A lifetime that can be believed: seconds, or their digits, and at most two days."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0
    return min(seconds, _LONGEST_LIFE) if seconds > 0 else 0.0


def _host(asked: Asked) -> str:
    return urlsplit(authority_of(asked.identity)).hostname or "the authority"


def _without(asked: Asked, text: str) -> str:
    """Nothing should repeat what it was told; if something does, it ends here."""
    text = text.replace(asked.secret.reveal(), "***") if asked.secret is not None else text
    return _LONG.sub("***", text)
