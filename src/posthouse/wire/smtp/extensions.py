"""What a server offers: the banner and the lines after HELO and EHLO.

Source: RFC 5321 4.1.1.1 and 4.2, and the extensions' own: RFC 1870 (SIZE), RFC 2034, RFC 2920 (PIPELINING), RFC 3030
(CHUNKING, BINARYMIME), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
Shape: `Offer` is what a listener grants; pure functions turn it into octets.
Failures: none.
Leaves to others: obeying it (``wire.smtp.server``); which mechanisms are safe to offer (``receive``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from posthouse.mail.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one listener offers, and its limits.

    Attributes:
        hostname: Our name, in the banner and in the answer to HELO and EHLO.
        banner: Text behind the host name in the banner.
        starttls_offered: STARTTLS is listed and taken on a plain session.
        mechanisms: SASL mechanisms on a secured session, in the order of the list.
        mechanisms_before_tls: SASL mechanisms on a plain session.
        advertise_auth_equals: Also list ``AUTH=LOGIN``, which some old clients look for.
        max_message_octets: Largest content taken; 0 for no limit (RFC 1870 4).
        max_recipients: RCPT commands a transaction.
        max_command_octets: Longest command line with its line end. RFC 5321 4.5.3.1.4 says 512; the parameters of the
            extensions above add some 1,200.
        max_auth_octets: Longest AUTH line (RFC 4954 4).
        max_line_octets: Longest line of content. RFC 5321 4.5.3.1.6 says 1000; printers send pictures in one line.
        max_errors: Refused commands after which the session ends.
        smtputf8: Offer RFC 6531.
        chunking: Offer RFC 3030: BDAT and BODY=BINARYMIME.
    """

    hostname: str
    banner: str = "ESMTP Posthouse"
    starttls_offered: bool = False
    mechanisms: tuple[str, ...] = ()
    mechanisms_before_tls: tuple[str, ...] = ()
    advertise_auth_equals: bool = False
    max_message_octets: int = 157286400
    max_recipients: int = 1000
    max_command_octets: int = 2048
    max_auth_octets: int = 12288
    max_line_octets: int = 65536
    max_errors: int = 10
    smtputf8: bool = True
    chunking: bool = True

    def allowed_mechanisms(self, *, is_secured: bool) -> tuple[str, ...]:
        """Mechanisms that the session may use now."""
        return self.mechanisms if is_secured else self.mechanisms_before_tls


def keywords(offer: Offer, *, is_secured: bool) -> tuple[str, ...]:
    """The EHLO keywords, in Exchange's order."""
    mechanisms = " ".join(offer.allowed_mechanisms(is_secured=is_secured))
    listed = [f"SIZE {offer.max_message_octets}", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES"]
    if offer.starttls_offered and not is_secured:
        listed.append("STARTTLS")
    if mechanisms:
        listed.append(f"AUTH {mechanisms}")
        if offer.advertise_auth_equals:
            listed.append(f"AUTH={mechanisms}")
    listed.append("8BITMIME")
    if offer.chunking:
        listed += ("BINARYMIME", "CHUNKING")
    if offer.smtputf8:
        listed.append("SMTPUTF8")
    return tuple(listed)


@lru_cache(maxsize=64)
def banner(offer: Offer) -> bytes:
    """The 220 line (RFC 5321 3.1)."""
    return Reply.of(220, "", f"{offer.hostname} {offer.banner}".rstrip()).encode()


@lru_cache(maxsize=256)
def welcome(offer: Offer, *, is_esmtp: bool, is_secured: bool) -> bytes:
    """The answer to HELO or EHLO. It has no enhanced status code (RFC 2034 4)."""
    lines = (offer.hostname, *keywords(offer, is_secured=is_secured)) if is_esmtp else (offer.hostname,)
    return Reply(250, "", lines).encode()
