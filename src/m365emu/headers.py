"""The few header fields that the service looks at.

Purpose: read Message-ID, Subject, From and Sender from a message's first octets. Source: RFC 5322 2.2 (fields
and folding), 3.6.2 (From, Sender) and 3.6.4 (Message-ID); RFC 2047 for the subject shown to people.
Shape: `read_head` gives a `Head`, a bounded list of raw fields with look-ups. The input is hostile: nothing here
raises. Leaves to others: what follows from the fields (`submission`).
"""

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import getaddresses

_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MOST_FIELDS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The header of a message: its fields in order, names in lower case, and its size in octets."""

    fields: tuple[tuple[str, str], ...]
    octets: int

    def all(self, name: str) -> list[str]:
        """Return the values of every field of this name."""
        return [value for field, value in self.fields if field == name]

    def first(self, name: str) -> str:
        """Return the first value of this name, or an empty text."""
        return next(iter(self.all(name)), "")

    @property
    def message_id(self) -> str:
        """The Message-ID as it stands in the message, made safe to be said in a reply."""
        return _CONTROL.sub("", self.first("message-id")).strip()[:900]

    @property
    def subject(self) -> str:
        """The subject as a person reads it, at most 255 characters."""
        raw = self.first("subject")
        try:
            text = str(make_header(decode_header(raw)))
        except (HeaderParseError, ValueError, LookupError):
            text = raw
        return _CONTROL.sub(" ", text).strip()[:255]

    def addresses(self, name: str) -> list[str]:
        """Return the addresses in all fields of this name; an entry without one gives an empty text."""
        found = getaddresses(self.all(name)[:100])
        return [address if "@" in address else "" for _, address in found]


def read_head(octets: bytes) -> Head:
    """Read the header at the beginning of `octets`, which may be the whole message or its first part."""
    if octets.startswith((b"\r\n", b"\n")):
        return Head(fields=(), octets=0)
    end = _END.search(octets)
    size = end.start() if end else len(octets)
    fields: list[tuple[str, str]] = []
    name, parts = "", list[bytes]()
    for line in _LINE.split(octets[:size], maxsplit=_MOST_FIELDS * 4):
        if line[:1] in (b" ", b"\t"):
            parts.append(line)
            continue
        _add(fields, name, parts)
        raw_name, colon, value = line.partition(b":")
        name = raw_name.strip().decode("ascii", "replace").lower() if colon else ""
        parts = [value]
    _add(fields, name, parts)
    return Head(fields=tuple(fields[:_MOST_FIELDS]), octets=size)


def _add(fields: list[tuple[str, str]], name: str, parts: list[bytes]) -> None:
    if name:
        fields.append((name, b"".join(parts).decode("utf-8", "replace").strip()))
