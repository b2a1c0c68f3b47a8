"""xtext: how ENVID, ORCPT and AUTH= carry any character inside one word.

Source: RFC 3461 4 (xtext), RFC 6533 3 (``utf-8`` address type with ``\\x{...}``).
Shape: two pure functions, each the inverse of the other for printable text.
Failures: ``XtextError``.
Leaves to others: which parameter allows how much (``wire.smtp.parameters``).
"""

from __future__ import annotations

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_UNITEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}|[^\x00-\xa0\ud800-\udfff])*")
_HEX_PAIR = re.compile(r"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_TO_ENCODE = re.compile(r"[^!-*,-<>-~]")


class XtextError(ValueError):
    """The word is not xtext, or it decodes to something that no field may hold."""


def decode_xtext(word: str, *, allow_utf8: bool = False) -> str:
    """Decode one parameter value.

    Args:
        word: The value as it stood in the command.
        allow_utf8: Also take raw non-ASCII characters (RFC 6533 3, only after SMTPUTF8).

    Returns:
        Printable text without line ends.

    Raises:
        XtextError: Not xtext, or control characters came out: these would break the lines of a notice.
    """
    if not (_UNITEXT if allow_utf8 else _XTEXT).fullmatch(word):
        raise XtextError("not xtext")
    text = _HEX_PAIR.sub(lambda match: chr(int(match[1], 16)), word) if "+" in word else word
    if not text.isprintable() or not (allow_utf8 or text.isascii()):
        raise XtextError("xtext hides characters that are not printable")
    return text


def decode_embedded(text: str) -> str:
    """Turn each ``\\x{20AC}`` of a ``utf-8`` address into its character (RFC 6533 3).

    Raises:
        XtextError: A number that is no character, or not a printable one.
    """

    def character(match: re.Match[str]) -> str:
        number = int(match[1], 16)
        if number > 0x10FFFF or not chr(number).isprintable():
            raise XtextError("no such character")
        return chr(number)

    return _EMBEDDED.sub(character, text)


def encode_xtext(text: str) -> str:
    """Encode printable ASCII text as xtext: ``+``, ``=`` and blanks become ``+2B``, ``+3D``, ``+20``.

    Raises:
        XtextError: The text is not ASCII; write it as a ``utf-8`` address before.
    """
    if not text.isascii():
        raise XtextError("xtext is ASCII")
    return _TO_ENCODE.sub(lambda match: f"+{ord(match[0]):02X}", text)
