"""What ``posthouse send`` makes of the octets that a program pipes into it.

Source: the sendmail command as cron, PHP and scripts use it (-t, -i, the line with a single dot); RFC 5321 2.3.8 for
line ends, RFC 5322 3.6.3 for Bcc.
Shape: `read_message` mends line ends, `address_message` finds sender and recipients; octets in, values out.
Failures: `Unaddressed`, a sentence for the person.
Leaves to others: Date and Message-ID (the node's own repairs), taking the message (``operate.desk``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formataddr, getaddresses

from posthouse.wire.header import HeaderIndex, insert_before

_LINE_END = re.compile(rb"\r\n|\r|\n")
_MBOX_LINE = re.compile(rb"\A>?From [^\r\n]*(?:\r\n|\r|\n)")
_RECIPIENT_FIELDS = ("to", "cc", "bcc")


@dataclass(frozen=True, slots=True)
class Unaddressed:
    """The message cannot be sent as it is; the reason is for the person."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A message ready to be handed in.

    Attributes:
        sender: None is the null sender.
    """

    sender: str | None
    recipients: tuple[str, ...]
    content: bytes


def read_message(data: bytes, *, dot_ends: bool) -> bytes:
    """Give every line CRLF.

    Args:
        data: Standard input.
        dot_ends: A line with a single dot ends the message (without -i).
    """
    lines = _LINE_END.split(_MBOX_LINE.sub(b"", data, count=1))
    if dot_ends and b"." in lines:
        lines = [*lines[: lines.index(b".")], b""]
    if lines[-1]:
        lines.append(b"")
    return b"\r\n".join(lines)


def address_message(
    content: bytes,
    *,
    arguments: Sequence[str],
    sender: str,
    full_name: str,
    from_header: bool,
    domain: str,
) -> Addressed | Unaddressed:
    """Find out who gets the message, remove Bcc, add From where there is none.

    Args:
        content: What `read_message` gave.
        arguments: Recipients of the command line.
        sender: Envelope sender; ``<>`` is the null sender.
        full_name: For From, may be empty.
        from_header: Also take recipients from To, Cc and Bcc (-t).
        domain: What stands behind names without one.
    """
    header = HeaderIndex.scan(content)
    recipients = list(arguments)
    if from_header:
        fields = [value for name in _RECIPIENT_FIELDS for value in header.get_all(name)]
        recipients += [address for _, address in getaddresses(fields) if address]
        content = header.remove("bcc")
    if not recipients:
        where = ", and none in To, Cc and Bcc" if from_header else "; -t takes them from To, Cc and Bcc"
        return Unaddressed(f"no recipients: none were given as arguments{where}")
    envelope_sender = None if sender in {"", "<>"} else qualify(sender, domain)
    if header.raw("from") is None:
        name = re.sub(r"[\x00-\x1f\x7f]", " ", full_name).strip()
        shown = formataddr((name, envelope_sender or f"postmaster@{domain}"))
        content = insert_before(content, f"From: {shown}\r\n".encode())
    chosen = dict.fromkeys(qualify(recipient, domain) for recipient in recipients)
    return Addressed(sender=envelope_sender, recipients=tuple(chosen), content=content)


def qualify(address: str, domain: str) -> str:
    """``root`` becomes ``root@domain``; brackets around an address are taken off."""
    bare = address.strip()
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    return bare if "@" in bare else f"{bare}@{domain}"
