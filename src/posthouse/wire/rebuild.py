"""A message for a system that takes the recipients from the header: rebuilt, so that it reaches the envelope's only.

Source: RFC 5322 3.6.3 (To, Cc, Bcc), 3.6.6 (Resent fields); "user: sendMail" of Microsoft Graph, which delivers to To,
Cc and Bcc of the MIME it is given and strips Bcc; ``docs/adr/0031-graph-recipients.md``.
Shape: `rebuild_header` gives a new header, its blank line included, for a set of recipients; `reencode` turns
quoted-printable parts into base64.
Failures: `Impossible` as a value: a header that goes on behind what is looked at, an address that another reader may
misread.
Leaves to others: sending (``deliver.graph``), who sends (``deliver.senders``).

To and Cc stay octet for octet where they name recipients of this transaction only and are written so plainly that no
two readers differ. Else they are written anew with those recipients alone, and their text is kept in X-Original-To and
X-Original-Cc, which delivers to nobody. All other recipients go into Bcc. Every other field keeps its octets; only bare
line ends are mended, because a reader that takes one for the end of a field would find recipients that we did not see.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.wire.downgrade import encode_base64
from posthouse.wire.header import Field, HeaderIndex
from posthouse.wire.mailboxes import MAX_MAILBOXES, Listed, is_plain, read_mailboxes, write_field
from posthouse.wire.mime import Part, children, whole

_SHOWN = (b"to", b"cc")
_HIDDEN = (b"bcc", b"resent-bcc", b"apparently-to")
_RESENT = (b"resent-to", b"resent-cc")
_AUTHORS = (b"from", b"sender", b"reply-to")
_BARE_END = re.compile(rb"\r(?!\n)|\0")
_LINE_END = re.compile(rb"\r?\n")
_UNSAFE_LOCAL = re.compile(r'[,;:<>()\[\]\\@]|[\x00-\x1f\x7f]|.".')
_MAX_LINE = 998


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A header for this set of recipients.

    Attributes:
        header: All fields and the blank line.
        changes: What was changed of To and Cc, as sentences for the trace.
    """

    header: bytes
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Impossible:
    """The message cannot be given to such a system; `reason` is a sentence."""

    reason: str


def rebuild_header(index: HeaderIndex, recipients: Sequence[Address]) -> Rebuilt | Impossible:
    """Write the header so that To, Cc and Bcc together name exactly these recipients.

    Args:
        index: The header as it is.
        recipients: Of one transaction, at least one.
    """
    if index.is_truncated:
        return Impossible("the header is too long to be looked through for recipients")
    unsafe = next((a for a in recipients if not _is_safe(a)), None)
    if unsafe is not None:
        return Impossible(f"the address {unsafe} can be misread in a header")
    writer = _Writer(index, recipients)
    header = writer.write()
    return Rebuilt(header, tuple(writer.changes))


class _Writer:
    """Fields that were written so far, and the recipients that no field names yet."""

    def __init__(self, index: HeaderIndex, recipients: Sequence[Address]) -> None:
        self.index = index
        self.known = {_key(a): a for a in reversed(recipients)}
        self.exact = {_key(a, exact=True): a for a in recipients}
        self.left = dict(self.exact)
        self.pieces: list[bytes] = []
        self.changes: list[str] = []

    def write(self) -> bytes:
        """Write all fields."""
        done: set[bytes] = set()
        for field in self.index.fields:
            if field.name in _SHOWN:
                if field.name not in done:
                    done.add(field.name)
                    self._write_shown(field.name)
            elif field.name in _RESENT:
                self.pieces.append(b"X-Original-" + self._clean(field))
            elif field.name in _AUTHORS:
                self._write_author(field)
            elif field.name and field.name not in _HIDDEN:
                self.pieces.append(self._clean(field))
        if self.left:
            self.pieces.append(write_field("Bcc", [Listed(_written(a)) for a in self.left.values()]))
        return b"".join((*self.pieces, b"\r\n"))

    def _write_shown(self, name: bytes) -> None:
        fields = self.index.all(name.decode())
        values = [self._value(field) for field in fields]
        listed = [mailbox for value in values for mailbox in read_mailboxes(value)]
        inside = [(mailbox, found) for mailbox in listed if (found := self._find(mailbox.address)) is not None]
        for _, address in inside:
            self.left.pop(_key(address, exact=True), None)
        label = name.decode().capitalize()
        strangers = len(listed) - len(inside)
        if strangers or len(listed) >= MAX_MAILBOXES:
            self.pieces += [b"X-Original-" + self._clean(field) for field in fields]
            self.changes.append(f"{label} names {strangers or 'too many'} who are no recipients here")
        elif len(fields) == 1 and is_plain(values[0]) and all(m.address == _written(a) for m, a in inside):
            self.pieces.append(self._clean(fields[0]))
            return
        if inside or (listed and name == b"to") or not listed:
            unique = {_key(a, exact=True): Listed(_written(a), m.name) for m, a in reversed(inside)}
            if unique or name == b"to":
                self.pieces.append(write_field(label, reversed(unique.values())))

    def _write_author(self, field: Field) -> None:
        """An ``@`` in a name without quotes makes Graph take it for the sender's address."""
        value = self._value(field)
        listed = read_mailboxes(value)
        if is_plain(value) or not listed:
            self.pieces.append(self._clean(field))
        else:
            name = "-".join(word.capitalize() for word in field.name.decode().split("-"))
            self.pieces.append(write_field(name, listed))

    def _find(self, address: str) -> Address | None:
        local, _, domain = address.rpartition("@")
        written = Address(local, domain.lower())
        return self.exact.get(_key(written, exact=True)) or self.known.get(_key(written))

    def _value(self, field: Field) -> bytes:
        return self._clean(field).partition(b":")[2]

    def _clean(self, field: Field) -> bytes:
        """The field with CRLF at the end of each line and nowhere else, and its colon right behind the name."""
        data, name_end = self.index.data, field.start + len(field.name)
        octets = data[field.start : name_end] + b":" + data[field.value_start : field.end]
        octets = _BARE_END.sub(b" ", _LINE_END.sub(b"\r\n", octets)).rstrip(b"\r\n")
        return b"\r\n".join(line for line in octets.split(b"\r\n") if line.strip()) + b"\r\n"


def reencode(data: bytes) -> bytes:
    """Turn quoted-printable parts into base64; signed parts and attached messages stay as they are."""
    if b"quoted-printable" not in data.lower():
        return data
    pieces: list[bytes] = []
    end = _reencode(whole(data), pieces, 0)
    pieces.append(data[end:])
    return b"".join(pieces)


def _reencode(part: Part, pieces: list[bytes], position: int) -> int:
    """Write what changes of a part; returns how far the original has been written."""
    kind = part.content_type.media_type
    if kind == "multipart/signed" or kind.startswith("message/"):
        return position
    if part.is_multipart:
        for child in children(part):
            position = _reencode(child, pieces, position)
        return position
    if part.encoding != "quoted-printable":
        return position
    header = part.header
    for number, field in enumerate(header.all("content-transfer-encoding")):
        pieces += [header.data[position : field.start], b"" if number else b"Content-Transfer-Encoding: base64\r\n"]
        position = field.end
    encoded = encode_base64(binascii.a2b_qp(part.body))
    at_end = part.end == len(header.data)
    pieces += [header.data[position : header.body_start], encoded if at_end else encoded.removesuffix(b"\r\n")]
    return part.end


def _is_safe(address: Address) -> bool:
    local = address.local
    inside = local[1:-1] if local.startswith('"') and local.endswith('"') and len(local) > 1 else local
    return bool(address.domain) and len(_written(address)) < _MAX_LINE and not _UNSAFE_LOCAL.search(inside)


def _domain(address: Address) -> str:
    try:
        return address.domain if address.domain.isascii() else address.domain.encode("idna").decode()
    except UnicodeError:
        return address.domain


def _key(address: Address, *, exact: bool = False) -> str:
    return f"{address.local if exact else address.local.lower()}@{_domain(address).lower()}"


def _written(address: Address) -> str:
    return f"{address.local}@{_domain(address)}"
