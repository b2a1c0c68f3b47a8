"""An SMTP reply, ours or a remote server's.

Source: RFC 5321 4.2, RFC 2034, RFC 3463.
Shape: code, enhanced status code (may be empty), lines of text without code and line end.
Leaves to others: what a reply means (``deliver.classify``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of one or more lines.

    Attributes:
        code: 200-599.
        enhanced: ``5.7.1`` or empty where the server gave none.
        lines: Text of each line, without the codes; never empty.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, code: int, enhanced: str, text: str) -> Reply:
        """A reply of one line."""
        return cls(code, enhanced, (text,))

    @property
    def text(self) -> str:
        """All lines joined by a blank."""
        return " ".join(self.lines)

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    def encode(self) -> bytes:
        """The octets to send: RFC 5321 4.2.1 lines with the enhanced code repeated on each (RFC 2034 4)."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{' ' if n == last else '-'}{prefix}{line}\r\n".encode() for n, line in enumerate(self.lines)
        )
