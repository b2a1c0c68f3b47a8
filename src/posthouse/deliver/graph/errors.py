"""What an answer of Microsoft Graph means for the recipients.

Source: "Microsoft Graph error responses and resource types"; the catalogue (``microsoft.replies``) for each code.
Shape: `read_error` reads the error object; `judge` turns an answer about a message into an `Outcome`;
`judge_recipients` does so where the error names some of them. Outcomes carry a `Reply` with a code of SMTP and Graph's
own words, so that trace, queue view and bounces need know nothing of HTTP.
Failures: none. What is not known is temporary; 502 and 504 after a request that sends are neither success nor failure.
Leaves to others: the entries (``microsoft.replies``), what follows (``queue.schedule``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from posthouse.deliver.graph.client import Answer, Answered, NoAnswer, NoToken
from posthouse.mail.outcome import Deferred, Delivered, Failed, OnUnknown, Outcome, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.microsoft.replies import Entry, entry_named, find

MAX_WORDS = 600
REFUSED_REST = timedelta(minutes=15)
_MAY_HAVE_BEEN_SENT = (502, 504)
_STATUS = {
    "graph-recipients-invalid": "5.1.3",
    "graph-message-too-large": "5.3.4",
    "graph-mime-invalid": "5.6.0",
    "graph-send-as-denied": "5.7.60",
}
TOO_LARGE = "graph-message-too-large"
"""Entry of the catalogue for what Graph cannot carry because of its size; another way may."""


@dataclass(frozen=True, slots=True)
class GraphError:
    """The error object of an answer.

    Attributes:
        code: For programs; empty where there is none.
        message: For people.
    """

    code: str = ""
    message: str = ""


def read_error(answer: Answer) -> GraphError:
    """Read the error object; empty fields where the body is none."""
    value = answer.value
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return GraphError()
    code, message = error.get("code"), error.get("message")
    return GraphError(str(code or "")[:100], " ".join(str(message or "").split())[:MAX_WORDS])


def judge(answered: Answered, *, on_unknown: OnUnknown, mailbox: str, sends: bool = True) -> Outcome:
    """What an answer means for all recipients of the request.

    Args:
        on_unknown: The connector's setting.
        mailbox: Who sends.
        sends: The request sends the message; else it only prepares that, and nothing can have been delivered.
    """
    match answered:
        case NoToken(problem=problem):
            match = find(problem.reason)
            return Deferred(
                reason=problem.reason,
                scope=Scope.MAILBOX,
                retry_after=problem.retry_after,
                needs_operator=problem.needs_operator,
                explanation_id=match.entry.id if match is not None else "",
            )
        case NoAnswer(cause=cause, was_sent=was_sent):
            if was_sent and sends:
                return _unknown(f"the message was sent and no answer came: {cause}", on_unknown, mailbox)
            return Deferred(reason=f"no answer from Graph: {cause}", scope=Scope.MESSAGE, is_glitch=True)
        case Answer(status=status):
            return _judge_status(answered, status, on_unknown, mailbox, sends)


def judge_recipients(answered: Answered, outcome: Outcome, addresses: Iterable[str]) -> dict[str, Outcome]:
    """Outcomes that differ from the others': of recipients that the error names.

    Returns:
        Empty where the answer speaks of all alike; else one outcome for each address.
    """
    if not isinstance(answered, Answer) or read_error(answered).code != "ErrorInvalidRecipients":
        return {}
    every = list(addresses)
    words = read_error(answered).message.lower()
    named = {address for address in every if _names(words, address.lower())}
    if not named or len(named) == len(every):
        return {}
    reply = outcome.reply if isinstance(outcome, Failed | Deferred) else None
    others = Deferred(reason="another recipient of the message was refused", scope=Scope.MESSAGE, is_glitch=True)
    return {
        address: Failed(status="5.1.3", reason="Graph does not accept the recipient", reply=reply)
        if address in named
        else others
        for address in every
    }


def too_large(reason: str) -> Failed:
    """The message does not fit through Graph in any of its forms; another way may carry it."""
    return Failed(status="5.3.4", reason=reason, explanation_id=TOO_LARGE)


def _judge_status(answer: Answer, status: int, on_unknown: OnUnknown, mailbox: str, sends: bool) -> Outcome:
    if 200 <= status < 300:
        return Delivered(reply=Reply.of(250, "2.0.0", f"Graph {status} Accepted request-id={answer.request_id}"))
    error = read_error(answer)
    entry = _entry(answer, error)
    is_vague = entry is not None and entry.retry.outcome == "unknown"
    if sends and (status in _MAY_HAVE_BEEN_SENT or (status == 500 and is_vague)):
        return _unknown(f"Graph answered {status}; the message may have been sent", on_unknown, mailbox)
    known = entry if not is_vague else None
    if status == 413 and known is None:
        known = entry_named(TOO_LARGE)
    if known is not None and known.retry.outcome == "permanent" and 400 <= status < 500 and status != 429:
        reply = _reply(answer, error, 554, _STATUS.get(known.id, "5.0.0"))
        return Failed(status=_STATUS.get(known.id, "5.0.0"), reason=known.title, reply=reply, explanation_id=known.id)
    return Deferred(
        reason=known.title if known is not None else f"Graph answered {status} {error.code}".rstrip(),
        reply=_reply(answer, error, 451, "4.3.0"),
        scope=_scope(status, known),
        retry_after=answer.retry_after or (known.retry.after if known is not None else _rest(status)),
        needs_operator=known is not None and known.retry.needs_operator,
        explanation_id=known.id if known is not None else "",
    )


def _entry(answer: Answer, error: GraphError) -> Entry | None:
    match = find(answer.body[:4000].decode("utf-8", "replace")) if error.code else None
    match = match or find(f"{error.code}: {error.message}" if error.code else "")
    return match.entry if match is not None else None


def _scope(status: int, entry: Entry | None) -> Scope:
    if status in (401, 429, 503):
        return Scope.MAILBOX
    if entry is not None:
        return entry.retry.scope
    return Scope.MAILBOX if status in (403, 404) else Scope.MESSAGE


def _rest(status: int) -> timedelta | None:
    return REFUSED_REST if status in (401, 403, 404) else None


def _reply(answer: Answer, error: GraphError, code: int, enhanced: str) -> Reply:
    words = f"{error.code}: {error.message}" if error.code else ""
    mark = f" request-id={answer.request_id}" if answer.request_id else ""
    return Reply.of(code, enhanced, f"Graph {answer.status} {words}".rstrip() + mark)


def _unknown(reason: str, on_unknown: OnUnknown, mailbox: str) -> Unknown:
    return Unknown(reason=reason, retry=on_unknown == "retry", verify=on_unknown == "verify", mailbox=mailbox)


def _names(words: str, address: str) -> bool:
    """Whether the words name this address, and not a longer one that holds it."""
    position = words.find(address)
    while position >= 0:
        before, after = words[position - 1 : position], words[position + len(address) : position + len(address) + 1]
        if not (before.isalnum() or before in ("-", "+", "_")) and not (after.isalnum() or after == "-"):
            return True
        position = words.find(address, position + 1)
    return False
