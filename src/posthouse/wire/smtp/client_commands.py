"""MAIL and RCPT with the parameters that the server understands, or why they cannot be sent.

Source: RFC 5321 4.1.1.2, 4.1.1.3; RFC 1870 3 (SIZE), RFC 6152 3, RFC 3030 3 (BODY), RFC 6531 3.4 (SMTPUTF8),
RFC 3461 4 (RET, ENVID, NOTIFY, ORCPT); RFC 3463 (5.3.4, 5.6.3), RFC 6531 3.4 with RFC 5248 (5.6.7).
Shape: pure functions over a `Transaction` and the server's `Extensions`.
Failures: `CannotSend` as a value; ``ValueError`` for a line break inside a command, which is a broken promise.
Leaves to others: converting content that needs it (``wire.downgrade``), waiting for replies (``wire.smtp.client``).
"""

from __future__ import annotations

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Notify, Recipient
from posthouse.wire.smtp.client_events import CannotSend, Transaction
from posthouse.wire.smtp.client_extensions import Extensions
from posthouse.wire.smtp.xtext import encode_xtext

_SEVEN_BIT, _DEFAULT = Body.SEVEN_BIT, Notify.DEFAULT
_NO_SMTPUTF8 = "the address or the header is not ASCII, and the server does not offer SMTPUTF8"


def why_unsendable(transaction: Transaction, extensions: Extensions) -> CannotSend | None:
    """What keeps the whole message from this server, as far as EHLO tells."""
    limit = extensions.max_octets
    if limit is not None and transaction.size_octets > limit:
        return CannotSend(
            "5.3.4", f"the message has {transaction.size_octets} octets, and the server takes no more than {limit}"
        )
    if not extensions.smtputf8 and (transaction.has_utf8_header or path(transaction.sender, utf8=False) is None):
        return CannotSend("5.6.7", _NO_SMTPUTF8)
    if transaction.body is _SEVEN_BIT:
        return None
    if transaction.body is Body.EIGHT_BIT_MIME and not extensions.eight_bit_mime:
        return CannotSend("5.6.3", "the content has 8-bit octets, and the server does not offer 8BITMIME")
    if transaction.body is Body.BINARY_MIME and not extensions.binary_mime:
        return CannotSend("5.6.3", "the content is binary, and the server does not offer BINARYMIME")
    return None


def mail_command(transaction: Transaction, extensions: Extensions, *, needs_utf8: bool) -> bytes:
    """The MAIL command with its line end. `why_unsendable` has been asked before."""
    text = f"MAIL FROM:{path(transaction.sender, utf8=extensions.smtputf8) or '<>'}"
    if extensions.size:
        text += f" SIZE={transaction.size_octets}"
    if transaction.body is not _SEVEN_BIT:
        text += f" BODY={transaction.body}"
    if needs_utf8:
        text += " SMTPUTF8"
    if extensions.dsn:
        if transaction.ret:
            text += f" RET={transaction.ret}"
        if transaction.envid:
            text += f" ENVID={encode_xtext(transaction.envid)}"
    return _line(text)


def rcpt_command(recipient: Recipient, extensions: Extensions) -> bytes | CannotSend:
    """The RCPT command with its line end, or why this recipient cannot be named to the server."""
    address = path(recipient.address, utf8=extensions.smtputf8)
    if address is None:
        return CannotSend("5.6.7", _NO_SMTPUTF8)
    text = f"RCPT TO:{address}"
    if extensions.dsn:
        if recipient.notify is not _DEFAULT:
            text += f" NOTIFY={_notify(recipient.notify)}"
        if recipient.original is not None:
            text += f" ORCPT={_original(recipient.original, utf8=extensions.smtputf8)}"
    return _line(text)


def needs_smtputf8(transaction: Transaction) -> bool:
    """Whether anything of the transaction is beyond ASCII."""
    return (
        transaction.has_utf8_header
        or (transaction.sender is not None and not transaction.sender.is_ascii)
        or not all(r.address.is_ascii for r in transaction.recipients)
    )


def path(address: Address | None, *, utf8: bool) -> str | None:
    """``<local@domain>``, the domain as A-labels where UTF-8 is not allowed; None where that does not suffice."""
    if address is None:
        return "<>"
    local, domain = address.local, address.domain
    if utf8 or (local.isascii() and domain.isascii()):
        return f"<{local}@{domain}>" if domain else f"<{local}>"
    if not local.isascii():
        return None
    try:
        return f"<{local}@{domain.encode('idna').decode()}>"
    except UnicodeError:
        return None


def _notify(notify: Notify) -> str:
    if Notify.NEVER in notify:
        return "NEVER"
    wanted = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
    return ",".join(flag.name for flag in wanted if flag in notify and flag.name)


def _original(original: str, *, utf8: bool) -> str:
    kind, _, address = original.partition(";")
    if address.isascii():
        return f"{kind};{encode_xtext(address)}"
    if utf8:
        # RFC 6533 3: utf-8-addr-unitext, where only what xtext also encodes has to be encoded.
        return "utf-8;" + "".join(c if not c.isascii() else encode_xtext(c) for c in address)
    embedded = "".join(c if c.isascii() and c != "\\" else f"\\x{{{ord(c):X}}}" for c in address)
    return f"utf-8;{encode_xtext(embedded)}"


def _line(text: str) -> bytes:
    # What is printable holds no line break, and one look at a whole text costs less than three.
    if not text.isprintable() and any(c in text for c in "\n\r\0"):
        raise ValueError("a command would hold a line break")
    return text.encode() + b"\r\n"
