"""The header of a message as an index over its octets; nothing is ever written anew.

Source: RFC 5322 2.2 and 3.6 (fields and folding), RFC 2047 (encoded words), RFC 6532 (UTF-8 in fields).
Shape: `HeaderIndex.scan` gives offsets into the octets it was given; edits are splices that leave every other octet
where it was, because signatures break on less. `facts` is the short way to the four fields that the trace wants.
Failures: none. Any octets are a message. The header ends at the first line that is neither a field nor the continuation
of one, as it does in Exchange and Postfix: a device that forgets the blank line has text there, and text must not turn
into fields. A line that begins with a colon is a field without a name.
Leaves to others: addresses of the envelope (``wire.smtp``), Received (``wire.received``), parts (``wire.mime``).
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from typing import NamedTuple

from posthouse.mail.message import HeaderFacts

MAX_HEADER_OCTETS = 256 * 1024
"""Octets of a header that are looked at."""
MAX_FIELDS = 2000
"""Fields that are indexed."""
MAX_SHOWN = 998
"""Characters of a decoded field (RFC 5322 2.1.1)."""
MAX_DECODED_OCTETS = 4096
"""Octets of one field that are decoded: enough for 998 characters in encoded words."""

_BLOCK = re.compile(rb"(?![ \t])(?:(?:[!-9;-~]*+[ \t]*+:|[ \t])[^\n]*+(?:\n|\Z))*")
_FIELD = re.compile(rb"([!-9;-~]*+)[ \t]*+:()[^\n]*+\n?(?:[ \t][^\n]*+\n?)*")
_NO_CHARSETS = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"))
"""Codecs of Python that are no character sets of mail; the first two cost the square of their input."""
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Also surrogates and the marks that turn the direction of writing, which can make one text look like another."""
_PLAIN_ADDRESS = re.compile(
    rb'(?:(?:"[^"\\\r\n]*+" *+|[^"<>(),;:@\\]*+)<)?([!#-\'*+\-./-9=?A-Z^-~]++@(?:[\w.-]++|\[[\w.:]++\]))>?'
)
_WORD = re.compile(rb'(?:"[^"]*+"|[^\s"])+')
_SPACED_NAME = re.compile(rb"\n[!-9;-~]++[ \t]++:")


class Field(NamedTuple):
    """One field as offsets.

    Attributes:
        name: Lower case; empty for a line that begins with a colon.
        start: First octet of the name.
        value_start: First octet behind the colon.
        end: Behind the line end of the last line.
    """

    name: bytes
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class HeaderIndex:
    """Fields of one header.

    Attributes:
        data: The octets that the offsets count in.
        start: Where the header begins.
        end: Behind the last field line.
        body_start: Behind the blank line; equal to `end` where there is none.
        fields: In the order of the octets.
        is_truncated: The header goes on behind what was looked at, or has more fields than are kept.
    """

    data: bytes
    start: int
    end: int
    body_start: int
    fields: tuple[Field, ...]
    is_truncated: bool

    @classmethod
    def scan(cls, data: bytes, start: int = 0, stop: int | None = None) -> HeaderIndex:
        """Index the header that begins at `start`.

        Args:
            data: A message, the beginning of one, or a message around a part.
            start: Offset of the header.
            stop: Offset behind the part; default the end of the data.
        """
        stop = len(data) if stop is None else stop
        limit = min(stop, start + MAX_HEADER_OCTETS)
        end = header_end(data, start, limit)
        fields: list[Field] = []
        for match in _FIELD.finditer(data, start, end):
            if len(fields) == MAX_FIELDS:
                return cls(data, start, end, _skip_blank_line(data, end, stop), tuple(fields), True)
            fields.append(Field(match[1].lower(), match.start(), match.start(2), match.end()))
        is_cut = limit < stop and (end == limit or data.find(b"\n", end, limit) < 0)
        return cls(data, start, end, _skip_blank_line(data, end, stop), tuple(fields), is_cut)

    @property
    def has_blank_line(self) -> bool:
        """A blank line stands between header and body, or there is no body."""
        return self.body_start > self.end or self.end == len(self.data)

    def all(self, name: str) -> tuple[Field, ...]:
        """Fields of that name (without regard to case), first to last."""
        wanted = name.lower().encode()
        return tuple(field for field in self.fields if field.name == wanted)

    def raw(self, name: str) -> bytes | None:
        """Value of the first field of that name, octet for octet, without the line end of its last line."""
        for field in self.all(name):
            return self.data[field.value_start : field.end].rstrip(b"\r\n")
        return None

    def unfolded(self, name: str) -> bytes | None:
        """Value of the first field of that name on one line, without blanks around it."""
        value = self.raw(name)
        return None if value is None else unfold(value)

    def get(self, name: str) -> str | None:
        """Value of the first field of that name as text to be shown, at most 998 characters."""
        value = self.raw(name)
        return None if value is None else decode_text(value)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Values of all fields of that name as text to be shown."""
        return tuple(decode_text(self.data[field.value_start : field.end]) for field in self.all(name))

    def remove(self, name: str) -> bytes:
        """The data without the fields of that name, all other octets as they were."""
        pieces, position = [], 0
        for field in self.all(name):
            pieces.append(self.data[position : field.start])
            position = field.end
        return b"".join((*pieces, self.data[position:]))

    def replace(self, name: str, value: bytes) -> bytes:
        """The data with `value` in the first field of that name, and without further ones; put in front if absent.

        Args:
            name: Field name as it is to be written.
            value: Without the blank behind the colon and without the last line end.
        """
        line = name.encode() + b": " + value + b"\r\n"
        found = self.all(name)
        if not found:
            return self.data[: self.start] + line + self._gap() + self.data[self.start :]
        pieces, position = [], 0
        for number, field in enumerate(found):
            pieces += [self.data[position : field.start], b"" if number else line]
            position = field.end
        return b"".join((*pieces, self.data[position:]))

    def _gap(self) -> bytes:
        return b"" if self.fields or self.body_start > self.end else b"\r\n"


def header_end(data: bytes, start: int = 0, stop: int | None = None) -> int:
    """Offset behind the last field line."""
    stop = min(len(data), start + MAX_HEADER_OCTETS) if stop is None else stop
    match = _BLOCK.match(data, start, stop)
    return match.end() if match is not None else start


def _skip_blank_line(data: bytes, end: int, stop: int) -> int:
    if data.startswith(b"\r\n", end, stop):
        return end + 2
    return end + 1 if data.startswith(b"\n", end, stop) else end


def separator(data: bytes) -> bytes:
    """What must stand between fields put in front and `data`: a blank line where the message has no header at all."""
    if header_end(data) > 0 or data.startswith((b"\r\n", b"\n")):
        return b""
    return b"\r\n"


def insert_before(data: bytes, fields: bytes) -> bytes:
    """Put fields in front of a message; its own octets stay as they are.

    Args:
        data: The message, or the beginning of a large one.
        fields: Whole field lines, each with CRLF.

    Raises:
        ValueError: `fields` is not made of whole field lines.
    """
    if header_end(fields) != len(fields) or not fields.endswith(b"\r\n"):
        raise ValueError("only whole field lines can be put in front of a message")
    return b"".join((fields, separator(data), data))


def unfold(value: bytes) -> bytes:
    """A field value on one line (RFC 5322 2.2.3), without blanks and line ends around it."""
    return _FOLD.sub(b"", value).strip() if b"\n" in value else value.strip()


def decode_text(value: bytes) -> str:
    """A field value as text to be shown: unfolded, encoded words decoded, no control characters, bounded.

    Octets that are not ASCII are read as UTF-8 (RFC 6532), else as Latin-1, as old devices send it.
    """
    octets = unfold(value[:MAX_DECODED_OCTETS])
    if octets.isascii() and b"=?" not in octets:
        text = octets.decode("ascii")
    else:
        text = _decode_words(_decode_octets(octets))
    if not text.isprintable():
        text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN]


def _decode_octets(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _decode_words(text: str) -> str:
    # decode_header looks for the end of each word anew, so text behind the last possible end would cost its square.
    last = text.rfind("?=") + 2
    if last < 2 or "=?" not in text:
        return text
    try:
        parts = decode_header(text[:last])
    except (HeaderParseError, ValueError):
        return text
    return "".join(map(_decode_part, parts)) + text[last:]


def _decode_part(part: tuple[str | bytes, str | None]) -> str:
    octets, charset = part
    if isinstance(octets, str):
        return octets
    if charset is None:
        return octets.decode("raw-unicode-escape", "replace")
    try:
        name = codecs.lookup(charset.partition("*")[0]).name
        return octets.decode("latin-1" if name in _NO_CHARSETS else name, "replace")
    except (LookupError, ValueError):
        return octets.decode("latin-1")


def first_address(value: bytes) -> str:
    """First mailbox of an address field (From, Sender, Reply-To) as ``local@domain``; empty where there is none.

    Takes what devices write: display names with stray signs, comments, groups, no brackets.
    """
    octets = unfold(value[:MAX_DECODED_OCTETS])
    match = _PLAIN_ADDRESS.fullmatch(octets)
    if match is not None:
        return match[1].decode("ascii")
    found = _search_address(octets)
    return _CONTROL.sub("", _decode_octets(found))[:MAX_SHOWN] if b"@" in found else ""


def _search_address(octets: bytes) -> bytes:
    """Walk over quoted strings and comments; the first bracketed address wins, else the first word with an ``@``."""
    word, depth, position = bytearray(), 0, 0
    while position < len(octets):
        sign = octets[position : position + 1]
        position += 1
        if sign == b'"' and not depth:
            end = _end_of_quotes(octets, position)
            word += octets[position - 1 : end]
            position = end
        elif sign in b"()":
            depth = max(0, depth + (1 if sign == b"(" else -1))
        elif depth:
            position += sign == b"\\"
        elif sign == b"<":
            inside = octets[position:].partition(b">")[0].strip()
            return inside.rpartition(b":")[2] if inside.startswith(b"@") else inside
        elif sign in b",;":
            if b"@" in word:
                break
            word.clear()
        elif sign == b":":
            word.clear()
        else:
            word += sign
    return next((piece for piece in _WORD.findall(bytes(word)) if b"@" in piece), b"")


def _end_of_quotes(octets: bytes, position: int) -> int:
    while position < len(octets) and octets[position] != 0x22:
        position += 2 if octets[position] == 0x5C else 1
    return position + 1


def facts(data: bytes) -> HeaderFacts:
    """What the trace is searched by. Called once for every message, so it looks for four names and decodes little.

    Args:
        data: The message, or at least its header, before our own Received field is put in front.
    """
    end = header_end(data)
    names = b"\n" + data[:end].lower()
    if _SPACED_NAME.search(names) is not None:
        return _facts_of_index(HeaderIndex.scan(data))
    message_id = _find_value(data, names, b"\nmessage-id:", end)
    subject = _find_value(data, names, b"\nsubject:", end)
    sender = _find_value(data, names, b"\nfrom:", end)
    return HeaderFacts(
        message_id=decode_text(message_id) if message_id else "",
        subject=decode_text(subject) if subject else "",
        from_address=first_address(sender) if sender else "",
        received_count=names.count(b"\nreceived:"),
    )


def _find_value(data: bytes, names: bytes, wanted: bytes, end: int) -> bytes:
    # `names` has one octet more in front, so an offset behind the colon there is one too far here.
    found = names.find(wanted)
    if found < 0:
        return b""
    start = found + len(wanted) - 1
    line_end = data.find(b"\n", start, end)
    while line_end >= 0 and data[line_end + 1 : line_end + 2] in (b" ", b"\t") and line_end + 1 < end:
        line_end = data.find(b"\n", line_end + 1, end)
    return data[start : end if line_end < 0 else line_end]


def _facts_of_index(index: HeaderIndex) -> HeaderFacts:
    return HeaderFacts(
        message_id=index.get("message-id") or "",
        subject=index.get("subject") or "",
        from_address=first_address(index.raw("from") or b""),
        received_count=len(index.all("received")),
    )
