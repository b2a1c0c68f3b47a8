"""Lists of mailboxes in header fields: read leniently, written in the one form that nobody misreads.

Source: RFC 5322 3.4 and 4.4 (mailboxes, groups, obsolete forms), RFC 2047 (encoded words), RFC 6532.
Shape: `read_mailboxes` takes a field value apart into `Listed`; `is_plain` says whether a value is written so simply
that every reader finds the same addresses; `write_field` writes a list anew, one mailbox a line.
Failures: none. What holds no address is left out. No more than `MAX_MAILBOXES` are read: who finds as many must take it
that there are more.
Leaves to others: who gets a message (``wire.rebuild``), addresses of the envelope (``wire.smtp.path``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.wire.header import decode_text, unfold

MAX_MAILBOXES = 5000
MAX_NAME = 200
"""Characters of a display name that is written anew."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN_ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_PLAIN_NAME = rf"(?:{_ATOM}(?:[ \t]+{_ATOM})*|\"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~. \t-]*\")"
_PLAIN_MAILBOX = rf"(?:{_PLAIN_ADDRESS}|(?:{_PLAIN_NAME}[ \t]*)?<{_PLAIN_ADDRESS}>)"
_PLAIN = re.compile(rf"{_PLAIN_MAILBOX}(?:[ \t]*,[ \t]*{_PLAIN_MAILBOX})*")
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~. -]+")
_WORD_OCTETS = 42
"""Octets in one encoded word, so that it stays below 75 signs (RFC 2047 2)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One mailbox of a list.

    Attributes:
        address: As it stands there, without brackets, blanks and comments.
        name: Display name or old-style comment as text; empty where there is none.
    """

    address: str
    name: str = ""


def is_plain(value: bytes) -> bool:
    """Whether a value is a list of ASCII mailboxes without groups, comments, or signs in names that mislead."""
    octets = unfold(value)
    return octets.isascii() and b"\r" not in octets and _PLAIN.fullmatch(octets.decode("ascii")) is not None


def read_mailboxes(value: bytes) -> tuple[Listed, ...]:
    """The mailboxes of a field value, those inside groups too.

    Takes what devices write: missing quotes and brackets, semicolons for commas, comments anywhere.
    """
    octets = unfold(value)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    reader = _Reader(text)
    reader.read()
    return tuple(reader.found)


class _Reader:
    """Walks over a value sign by sign; `found` has what it has seen."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.found: list[Listed] = []
        self._clear()

    def _clear(self) -> None:
        self.phrase: list[str] = []
        self.comments: list[str] = []
        self.angled: str | None = None

    def read(self) -> None:
        """Read all of it."""
        while self.position < len(self.text) and len(self.found) < MAX_MAILBOXES:
            sign = self.text[self.position]
            self.position += 1
            if sign == '"':
                self._read_quoted()
            elif sign == "(":
                self.comments.append(self._read_comment())
            elif sign == "<":
                self._read_angled()
            elif sign in ",;":
                self._end()
            elif sign == ":":
                self.phrase.clear()
            elif sign == "[" and self._is_behind_at():
                self._read_literal()
            else:
                self.phrase.append(sign)
        self._end()

    def _is_behind_at(self) -> bool:
        last = next((piece for piece in reversed(self.phrase) if not piece.isspace()), "")
        return last.endswith("@")

    def _read_quoted(self) -> None:
        start = self.position
        while self.position < len(self.text) and self.text[self.position] != '"':
            self.position += 2 if self.text[self.position] == "\\" else 1
        self.phrase.append(f'"{self.text[start : self.position]}"')
        self.position += 1

    def _read_comment(self) -> str:
        start, depth = self.position, 1
        while self.position < len(self.text) and depth:
            sign = self.text[self.position]
            depth += {"(": 1, ")": -1}.get(sign, 0)
            self.position += 2 if sign == "\\" else 1
        return self.text[start : self.position].removesuffix(")")

    def _read_angled(self) -> None:
        start, is_quoted = self.position, False
        while self.position < len(self.text) and (is_quoted or self.text[self.position] != ">"):
            sign = self.text[self.position]
            is_quoted ^= sign == '"'
            self.position += 2 if is_quoted and sign == "\\" else 1
        inside = self.text[start : self.position].strip()
        self.angled = inside.rpartition(":")[2] if inside.startswith("@") else inside
        self.position += 1

    def _read_literal(self) -> None:
        end = self.text.find("]", self.position)
        end = len(self.text) if end < 0 else end + 1
        self.phrase.append("[" + self.text[self.position : end])
        self.position = end

    def _end(self) -> None:
        words = "".join(self.phrase).strip()
        if self.angled is not None:
            address, name = self.angled, words or " ".join(self.comments)
        else:
            address, name = words if "@" in words else "", " ".join(self.comments)
            if " " in address and not address.startswith('"'):
                # "Name user@example.com" without brackets.
                before, _, last = address.rpartition(" ")
                address, name = (last, before) if "@" in last else (address.replace(" ", ""), name)
        if "@" in address:
            self.found.append(Listed("".join(address.split()) if '"' not in address else address, _shown(name)))
        self._clear()


def write_mailbox(mailbox: Listed) -> bytes:
    """One mailbox; the name quoted or in encoded words, so that no sign in it means anything."""
    address = mailbox.address.encode()
    name = " ".join(mailbox.name.split())[:MAX_NAME].replace('"', "'").replace("\\", "/")
    if not name or name == mailbox.address:
        return b"<" + address + b">" if b'"' in address else address
    if not name.isascii():
        return _encoded_words(name) + b" <" + address + b">"
    if _PLAIN_WORDS.fullmatch(name) and "=?" not in name and "." not in name:
        return name.encode() + b" <" + address + b">"
    return b'"' + name.encode() + b'" <' + address + b">"


def write_field(name: str, mailboxes: Iterable[Listed]) -> bytes:
    """A whole field with its line end, one mailbox a line; an empty group where the list is empty."""
    written = [write_mailbox(mailbox) for mailbox in mailboxes]
    return name.encode() + b": " + (b",\r\n ".join(written) or b"undisclosed-recipients:;") + b"\r\n"


def _shown(name: str) -> str:
    """A display name as text: quotes and escapes taken off, encoded words decoded."""
    text = name.strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return decode_text(text.encode())


def _encoded_words(text: str) -> bytes:
    words, octets = [], b""
    for sign in text:
        encoded = sign.encode()
        if len(octets) + len(encoded) > _WORD_OCTETS:
            words.append(octets)
            octets = b""
        octets += encoded
    words.append(octets)
    return b"\r\n ".join(b"=?utf-8?B?" + base64.b64encode(word) + b"?=" for word in words)
