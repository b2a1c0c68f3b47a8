"""The small types that the mail flow is written in: names, domains, patterns, references to secrets.

Shape: annotated types for pydantic; each normalises its text or says what it expected.
Leaves to others: matching them (``routing``, ``policy``), opening secrets (``deliver``).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from posthouse.mail.address import Address, AddressError

Network = IPv4Network | IPv6Network
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def _domain(text: str) -> str:
    name = text.lower().rstrip(".")
    ascii_name = name if name.isascii() else name.encode("idna").decode()
    if not _DOMAIN.fullmatch(ascii_name) or len(ascii_name) > 253:
        raise ValueError('expected a domain name such as "example.com"')
    return name


def _recipient_pattern(text: str) -> str:
    if text in {"*", "accepted"}:
        return text
    if "@" in text:
        return _sender_pattern(text)
    return "*." + _domain(text[2:]) if text.startswith("*.") else _domain(text)


def _sender_pattern(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if text == "*":
        return text
    if local in {"", "*"}:
        return "@" + (f"*.{_domain(domain[2:])}" if domain.startswith("*.") else _domain(domain))
    return _address(text)


def _address(text: str) -> str:
    try:
        return str(Address.parse(text))
    except AddressError as error:
        raise ValueError(str(error)) from error


def _secret_reference(text: str) -> str:
    if not re.fullmatch(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|secret:[A-Za-z0-9_.-]+)", text):
        # The value may be the secret itself, so it is not repeated.
        raise ValueError('expected a reference: "env:NAME", "file:PATH" or "secret:NAME", never the secret itself')
    return text


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Domain = Annotated[str, AfterValidator(_domain)]
Mailbox = Annotated[str, AfterValidator(lambda text: _address(text).lower())]
Mailboxes = Annotated[tuple[Mailbox, ...], BeforeValidator(_one_or_many)]
RecipientPattern = Annotated[str, AfterValidator(_recipient_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]


def sender_is_listed(patterns: tuple[str, ...], sender: Address | None) -> bool:
    """Whether a sender is covered by ``*``, an address, ``@domain`` or ``@*.domain``; ``<>`` only by ``*``."""
    if sender is None:
        return "*" in patterns
    text = str(sender).lower()
    for pattern in patterns:
        if pattern == "*" or pattern.lower() == text:
            return True
        if pattern.startswith("@*.") and sender.domain.endswith(pattern[2:]):
            return True
        if pattern.startswith("@") and pattern[1:] == sender.domain:
            return True
    return False
