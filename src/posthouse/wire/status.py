"""What an enhanced status code says in general: class, subject, detail.

Source: RFC 3463 2 and 3; the registry of enhanced status codes for what came later; RFC 5321 4.2.1 for plain codes.
Shape: `status_words` gives one sentence for an enhanced code, a plain reply code, or both.
Failures: none. What the registry does not know is told as far as its parts are known.
Leaves to others: what a certain server means by it (``microsoft.replies``), notices (``wire.notice_words``).
"""

from __future__ import annotations

_CLASSES = {"2": "success", "4": "a failure for now", "5": "a failure for good"}
_SUBJECTS = {
    "0": "of no particular kind",
    "1": "about an address",
    "2": "about a mailbox",
    "3": "about the mail system",
    "4": "about the network or the way of the mail",
    "5": "about the protocol",
    "6": "about the content of the message",
    "7": "about security or policy",
}
_DETAILS = {
    "1.1": "the mailbox does not exist",
    "1.2": "the domain does not exist or takes no mail",
    "1.3": "the address is not written correctly",
    "1.4": "the address is ambiguous",
    "1.5": "the address is valid",
    "1.6": "the mailbox has moved",
    "1.7": "the sender's address is not written correctly",
    "1.8": "the sender's domain does not exist or takes no mail",
    "1.10": "the domain says that it takes no mail",
    "2.1": "the mailbox is disabled",
    "2.2": "the mailbox is full",
    "2.3": "the message is too long for the mailbox",
    "2.4": "a mailing list could not be expanded",
    "3.1": "the mail system is full",
    "3.2": "the system takes no mail at this time",
    "3.3": "the system lacks a feature that was asked for",
    "3.4": "the message is too big for the system",
    "3.5": "the system is not set up correctly",
    "4.1": "the other host did not answer",
    "4.2": "the connection broke",
    "4.3": "a directory or DNS server failed",
    "4.4": "no way to the recipient is known",
    "4.5": "the mail system is overloaded",
    "4.6": "the message goes round in a circle",
    "4.7": "the time to deliver ran out",
    "5.1": "a command was not valid",
    "5.2": "a command was not written correctly",
    "5.3": "there are too many recipients",
    "5.4": "the arguments of a command were not valid",
    "6.1": "the kind of content is not supported",
    "6.3": "the content would have to be converted",
    "6.7": "the address needs SMTPUTF8",
    "7.0": "no detail was given",
    "7.1": "the delivery is not authorised",
    "7.4": "the security features do not fit",
    "7.5": "a cryptographic failure",
    "7.7": "the message was changed on its way",
    "7.8": "the log-in was not accepted",
    "7.9": "the log-in method is too weak",
    "7.11": "encryption is required for this log-in",
    "7.23": "the message failed SPF",
    "7.24": "SPF could not be checked",
    "7.25": "the sending address has no valid name in DNS",
    "7.26": "several checks of the sender failed",
    "7.27": "the sender's domain takes no mail",
    "7.28": "a flood of mail was noticed",
}


def status_words(code: int | None, enhanced: str) -> str:
    """The general meaning of codes, as a sentence without a full stop; empty where there are none.

    Args:
        code: Reply code, or None.
        enhanced: ``5.7.1``, or empty.
    """
    digit = enhanced[:1] or str(code or "")[:1]
    kind = _CLASSES.get(digit)
    if kind is None:
        return ""
    subject, _, _ = enhanced[2:].partition(".")
    words = [kind, _SUBJECTS.get(subject, "")]
    sentence = " ".join(word for word in words if word)
    detail = _DETAILS.get(enhanced[2:], "")
    return f"{sentence}: {detail}" if detail else sentence
