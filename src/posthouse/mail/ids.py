"""Names for messages and sessions.

A message id is a 63-bit number: milliseconds since 1970 in the upper bits, then 22 random bits, so that ids sort by
age and nodes need not agree on a counter. People see it in 13 characters of Crockford's base 32, which has no letters
that are mistaken for digits.
"""

from __future__ import annotations

from typing import NewType

MessageId = NewType("MessageId", int)
SessionId = NewType("SessionId", str)
"""16 upper-case hexadecimal digits, as in Exchange's protocol log."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {c: n for n, c in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_RANDOM_BITS = 22


def make_message_id(milliseconds: int, random_bits: int) -> MessageId:
    """Build an id.

    Args:
        milliseconds: Unix time in ms.
        random_bits: Any non-negative number; its lowest 22 bits are used.
    """
    return MessageId((milliseconds << _RANDOM_BITS) | (random_bits & ((1 << _RANDOM_BITS) - 1)))


def show_message_id(message_id: MessageId) -> str:
    """Return the 13 characters that people see and type."""
    number = int(message_id)
    return (
        _ALPHABET[number >> 60 & 31]
        + _PAIRS[number >> 50 & 1023]
        + _PAIRS[number >> 40 & 1023]
        + _PAIRS[number >> 30 & 1023]
        + _PAIRS[number >> 20 & 1023]
        + _PAIRS[number >> 10 & 1023]
        + _PAIRS[number & 1023]
    )


def read_message_id(text: str) -> MessageId:
    """Read what `show_message_id` wrote; case and the look-alikes O, I, L are forgiven.

    Raises:
        ValueError: The text is not such an id.
    """
    if len(text) != 13:
        raise ValueError(f"{text[:40]!r} is not a message id: 13 letters and digits are expected")
    number = 0
    for c in text.upper():
        if c not in _VALUES:
            raise ValueError(f"{text!r} is not a message id: {c!r} is not used in one")
        number = number << 5 | _VALUES[c]
    if number >= 1 << 63:
        raise ValueError(f"{text!r} is not a message id: none is that large")
    return MessageId(number)
