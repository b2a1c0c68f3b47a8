"""Mail addresses as the envelope knows them.

Source: RFC 5321 4.1.2 (Mailbox), RFC 6531 3.3 (internationalised mailbox).
Shape: ``Address(local, domain)``; the domain is lower case, the local part is kept as it came (RFC 5321 2.4).
Failures: ``AddressError`` from ``Address.parse``.
Leaves to others: the path syntax of MAIL and RCPT (``wire.smtp.path``), header fields (``wire.header``).
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_LOCAL_OCTETS = 64
"""RFC 5321 4.5.3.1.1."""
MAX_DOMAIN_OCTETS = 255
"""RFC 5321 4.5.3.1.2."""


class AddressError(ValueError):
    """The text is not a mail address. The message says why and never repeats more than the text itself."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: ``local@domain``.

    Attributes:
        local: The part before the last ``@``, unquoted form as it came on the wire (quotes kept).
        domain: Lower-case domain or address literal (``[192.0.2.1]``); empty only for the bare ``postmaster``.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``local@domain`` as an operator or a configuration writes it.

        Args:
            text: An address without angle brackets.

        Returns:
            The address, its domain in lower case.

        Raises:
            AddressError: The text has no ``@``, an empty half, white space, a control character or is too long.
        """
        local, at, domain = text.rpartition("@")
        if not at or not local or not domain:
            raise AddressError(f"{text!r} is not of the form local@domain")
        if any(c.isspace() or ord(c) < 33 or c in "<>" for c in domain) or any(ord(c) < 32 for c in local):
            raise AddressError(f"{text!r} holds a character that an address cannot hold")
        if not local.startswith('"') and any(c in ' <>,;:\\"' for c in local):
            raise AddressError(f"{text!r} holds a character that needs quoting")
        if len(local.encode()) > MAX_LOCAL_OCTETS or len(domain.encode()) > MAX_DOMAIN_OCTETS:
            raise AddressError(f"{text[:80]!r} is longer than RFC 5321 allows")
        return cls(local, domain.lower())

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent to a server without SMTPUTF8 (RFC 6531 3.2)."""
        return self.local.isascii() and self.domain.isascii()
