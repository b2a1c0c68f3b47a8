"""The story of one message in plain words, from its events.

Shape: `timeline` gives a `Line` for each event of a story: when, a sentence, and lines of detail with the replies of
servers word for word and the facts of TLS. `describe_event` does the same for one event alone, for following.
Failures: none. A kind or a field that this version does not know is shown as it stands, so that nothing is hidden.
Leaves to others: what events hold (``mail.event``), colours and columns (``operate``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from posthouse.mail.event import Detail, Event, EventKind
from posthouse.store.port import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event in words.

    Attributes:
        at: Aware UTC.
        kind: As stored.
        recipient: Address, or empty for the whole message.
        headline: A sentence without a full stop.
        details: Further lines, most telling first.
    """

    at: datetime
    kind: EventKind
    recipient: str
    headline: str
    details: tuple[str, ...]

    @property
    def text(self) -> str:
        """All on one line."""
        return "; ".join((self.headline, *self.details))


def timeline(story: Story) -> tuple[Line, ...]:
    """All events of a message in the order of time."""
    addresses = [str(recipient.address) for recipient in story.message.envelope.recipients]
    events = sorted(story.events, key=lambda event: event.at)
    return tuple(describe_event(event, addresses, story.message.received_at) for event in events)


def describe_event(event: Event, addresses: Sequence[str] = (), received_at: datetime | None = None) -> Line:
    """One event in words.

    Args:
        event: From the store.
        addresses: Recipients of the message in the order of its envelope, where they are known.
        received_at: When the message was taken in; delivery then tells how long it took.
    """
    index = event.recipient
    recipient = addresses[index] if index is not None and 0 <= index < len(addresses) else ""
    tell, used = _TELLERS.get(event.kind, (_tell_unknown_kind, ()))
    headline = tell(event.detail, recipient)
    if event.kind is EventKind.DELIVERED and received_at is not None:
        headline += f", {show_duration(event.at - received_at)} after acceptance"
    return Line(
        at=event.at,
        kind=event.kind,
        recipient=recipient,
        headline=headline,
        details=_details(event.detail, used),
    )


def show_duration(length: timedelta) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2 h 5 min``."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _value(detail: Detail, key: str) -> str:
    value = detail.get(key)
    if value is None or value == "":
        return ""
    return ", ".join(value) if isinstance(value, list) else str(value)


def _server(detail: Detail) -> str:
    remote, connector = _value(detail, "remote"), _value(detail, "connector")
    return f"{remote} ({connector})" if remote and connector else remote or connector


def _tell_accepted(detail: Detail, recipient: str) -> str:
    who = _value(detail, "principal")
    peer = _value(detail, "peer")
    origin = " at ".join(part for part in (who, peer) if part)
    about = _value(detail, "about")
    if about:
        return f"Written by this node about message {about}"
    return f"Accepted from {origin}" if origin else "Accepted"


def _tell_refused(detail: Detail, recipient: str) -> str:
    stage, peer = _value(detail, "stage"), _value(detail, "peer")
    return "Refused" + (f" at {stage}" if stage else "") + (f" from {peer}" if peer else "")


def _tell_attempted(detail: Detail, recipient: str) -> str:
    server = _server(detail)
    return f"Attempt at {server}" if server else "Attempt"


def _tell_delivered(detail: Detail, recipient: str) -> str:
    server, found = _server(detail), _value(detail, "verified_by")
    if found:
        return f"Delivered by {server} after all: found in {found}"
    return f"Delivered to {server}" if server else "Delivered"


def _tell_deferred(detail: Detail, recipient: str) -> str:
    next_at = _value(detail, "next_at")
    return "Not delivered yet" + (f", next attempt {_show_stored_time(next_at)}" if next_at else "")


def _tell_failed(detail: Detail, recipient: str) -> str:
    server = _server(detail)
    return f"Failed for good at {server}" if server else "Failed for good"


def _tell_unknown(detail: Detail, recipient: str) -> str:
    next_at, looked = _value(detail, "next_at"), _value(detail, "looked")
    what = "look" if looked or _value(detail, "then") == "look" else "attempt"
    then = f"next {what} {_show_stored_time(next_at)}" if next_at else "held until somebody decides"
    if looked:
        return f"Looked for the message, {looked}; {then}"
    return f"Outcome unknown: sent whole, but no answer came; {then}"


def _tell_retried(detail: Detail, recipient: str) -> str:
    looked = _value(detail, "verified_by")
    return f"Sent again: {looked}" if looked else _by_somebody("Attempted early, asked for")(detail, recipient)


def _tell_returned(detail: Detail, recipient: str) -> str:
    source, status = _value(detail, "source"), _value(detail, "status")
    return "A report says that it came back" + (f" ({status})" if status else "") + (f", in {source}" if source else "")


def _tell_login(detail: Detail, recipient: str) -> str:
    account, result = _value(detail, "account"), _value(detail, "result")
    return f"Log-in of {account or 'nobody'}" + (f": {result}" if result else "")


def _tell_expires(detail: Detail, recipient: str) -> str:
    what, identity, ends_at = (_value(detail, key) for key in ("what", "identity", "ends_at"))
    return f"The {what or 'credential'} of the identity {identity} ends {_show_stored_time(ends_at)}"


def _by_somebody(verb: str) -> Callable[[Detail, str], str]:
    def tell(detail: Detail, recipient: str) -> str:
        by = _value(detail, "by")
        return f"{verb} by {by}" if by else verb

    return tell


def _always(sentence: str) -> Callable[[Detail, str], str]:
    return lambda detail, recipient: sentence


def _with_notice(sentence: str) -> Callable[[Detail, str], str]:
    def tell(detail: Detail, recipient: str) -> str:
        notice = _value(detail, "notice")
        return f"{sentence}: message {notice}" if notice else sentence

    return tell


def _tell_unknown_kind(detail: Detail, recipient: str) -> str:
    return "Something that this version has no words for"


_SERVER_KEYS = ("remote", "connector")
_Teller = tuple[Callable[[Detail, str], str], tuple[str, ...]]
_TELLERS: Mapping[EventKind, _Teller] = {
    EventKind.ACCEPTED: (_tell_accepted, ("principal", "peer", "about")),
    EventKind.REFUSED: (_tell_refused, ("stage", "peer")),
    EventKind.ROUTED: (_always("Routed"), ()),
    EventKind.ATTEMPTED: (_tell_attempted, _SERVER_KEYS),
    EventKind.DELIVERED: (_tell_delivered, (*_SERVER_KEYS, "verified_by")),
    EventKind.DEFERRED: (_tell_deferred, ("next_at",)),
    EventKind.FAILED: (_tell_failed, _SERVER_KEYS),
    EventKind.UNKNOWN: (_tell_unknown, ("next_at", "looked", "then")),
    EventKind.EXPIRED: (_always("Expired: not delivered within its time"), ()),
    EventKind.HELD: (_by_somebody("Held"), ("by",)),
    EventKind.RELEASED: (_by_somebody("Released"), ("by",)),
    EventKind.RETRIED: (_tell_retried, ("by", "verified_by")),
    EventKind.CANCELLED: (_by_somebody("Cancelled"), ("by",)),
    EventKind.DISCARDED: (_by_somebody("Discarded"), ("by",)),
    EventKind.DELAY_NOTICED: (_with_notice("The sender was told of the delay"), ("notice",)),
    EventKind.BOUNCED: (_with_notice("The sender was told"), ("notice",)),
    EventKind.NOT_BOUNCED: (_always("The sender was not told"), ()),
    EventKind.LEASE_RETURNED: (_always("The node ended during an attempt; due again"), ()),
    EventKind.RETURNED: (_tell_returned, ("source", "status")),
    EventKind.LOGIN: (_tell_login, ("account", "result")),
    EventKind.EXPIRES: (_tell_expires, ("what", "identity", "ends_at")),
}

_LABELS: Mapping[str, str] = {
    "reply": "said",
    "reason": "reason",
    "remote": "server",
    "connector": "connector",
    "routes": "route",
    "route": "route",
    "repairs": "repaired",
    "helo": "called itself",
    "protocol": "protocol",
    "size": "size",
    "session": "session",
    "listener": "listener",
    "local": "from address",
    "duration_ms": "took",
    "tried": "tried before",
    "sender": "sender",
    "recipient": "recipient",
}
_ORDER = tuple(_LABELS)
_INDICES = ("copies", "recipients")
"""Positions in the envelope: for programs, and no number that means something to people."""
_TOGETHER = ("certificate_names",)
_UNITS: Mapping[str, str] = {"size": " octets", "duration_ms": " ms"}


def _details(detail: Detail, used: Sequence[str]) -> tuple[str, ...]:
    """What the headline has not told: replies first, TLS as one line, unknown fields last under their own names."""
    left = [key for key in detail if key not in used and key not in ("tls", "cipher")]
    left.sort(key=lambda key: _ORDER.index(key) if key in _LABELS else len(_ORDER))
    lines: list[str] = []
    for key in left:
        value = detail[key]
        if key in _INDICES:
            continue
        if key in _TOGETHER and isinstance(value, list):
            value = ", ".join(value)
        for each in value if isinstance(value, list) else [value]:
            if each is not None and each != "":
                lines.append(f"{_LABELS.get(key, key)}: {each}{_UNITS.get(key, '')}")
    tls = " ".join(part for part in (_value(detail, "tls"), _value(detail, "cipher")) if part)
    if tls:
        lines.insert(sum(line.startswith(("said:", "reason:")) for line in lines), f"TLS: {tls}")
    return tuple(lines)


def _show_stored_time(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return text
