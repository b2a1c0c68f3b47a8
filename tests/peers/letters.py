"""Messages to send, and the comparison of what arrived with what was sent.

A relay may put trace fields before a message (RFC 5321 4.4) and must not touch anything else. `added_fields` cuts what
arrived at the point where the sent octets begin and gives the names of the fields before it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

TRACE_FIELDS = frozenset(
    {
        "received",
        "return-path",
        "delivered-to",
        "x-original-to",
        "envelope-to",
        "delivery-date",
        # Written into its dump files by smtp-sink.
        "x-client-addr",
        "x-client-proto",
        "x-helo-args",
        "x-mail-args",
        "x-rcpt-args",
    }
)

# Lines that are easily damaged: dots, trailing blanks, From at the line start, 8-bit text, a long line, empty lines.
BODY = (
    "A line.\r\n.\r\n..two dots\r\n.leading dot\r\nTrailing blanks  \t\r\nFrom the start\r\n"
    "Grüße, 8-bit text\r\n" + "x" * 900 + "\r\n\r\n\r\nThe last line\r\n"
).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message; its octets contain a mark that no other has."""

    mark: bytes
    content: bytes


def write_letter(
    body: bytes = BODY, *, sender: str = "printer@example.com", recipient: str = "office@example.net"
) -> Letter:
    """A complete message: a relay finds nothing in it to repair."""
    mark = secrets.token_hex(8)
    header = (
        f"From: Printer <{sender}>\r\nTo: <{recipient}>\r\nSubject:  Scan {mark}\r\n"
        f"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{mark}@example.com>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return Letter(mark=mark.encode(), content=header.encode() + body)


def with_crlf(content: bytes) -> bytes:
    """The same message with CRLF line ends, whatever a mailbox made of them."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def added_fields(arrived: bytes, sent: bytes) -> list[str]:
    """The names, in lower case, of the fields that stand before the sent octets.

    Raises:
        AssertionError: The sent octets are not all there, in one piece, to the end.
    """
    assert arrived.endswith(sent), difference(arrived, sent)
    added = arrived[: len(arrived) - len(sent)]
    lines = added.split(b"\r\n")[:-1] if added else []
    return [line.partition(b":")[0].decode().lower() for line in lines if line[:1] not in b" \t"]


def assert_only_trace_added(arrived: bytes, sent: bytes) -> None:
    """What arrived is what was sent, with nothing but trace fields before it."""
    strange = set(added_fields(arrived, sent)) - TRACE_FIELDS
    assert not strange, f"fields that a relay must not add: {sorted(strange)}"


def difference(arrived: bytes, sent: bytes) -> str:
    """Where two messages part, counted from the end, for a reader of a failed test."""
    same = 0
    while same < min(len(arrived), len(sent)) and arrived[-1 - same] == sent[-1 - same]:
        same += 1
    return f"sent …{sent[: len(sent) - same][-60:]!r}, arrived …{arrived[: len(arrived) - same][-60:]!r}; then the same"
