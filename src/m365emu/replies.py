"""Every sentence the submission host says.

Purpose: the literal texts in one place. Source: recorded dialogues of smtp.office365.com, the public
documentation of Exchange Online, and for protocol errors the texts of Exchange Server.
Shape: constants where the text is fixed, functions where it carries names or times. A `Reply` that refuses
carries a `reason`, the key under which statistics count it; it never reaches the wire.
Failures: none. Leaves to others: when each is said (`smtp.session`, `logon`, `submission`).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from m365emu.hosts import FrontEnd, greeting_date

MOST_CHARACTERS = 2000
"""Exchange's own bound on one reply line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply: three digits and one or more lines. `closes` means the connection ends after it."""

    code: int
    lines: tuple[str, ...]
    reason: str = ""
    closes: bool = False

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}"

    def wire_lines(self) -> list[str]:
        """Return the lines as they are sent, without line ends."""
        last = len(self.lines) - 1
        return [f"{self.code}{' ' if n == last else '-'}{line}" for n, line in enumerate(self.lines)]

    def to_bytes(self) -> bytes:
        """Return the octets of the reply."""
        return b"".join(line.encode("utf-8", "replace") + b"\r\n" for line in self.wire_lines())


def _reply(code: int, text: str, reason: str = "", *, closes: bool = False) -> Reply:
    return Reply(code=code, lines=(text,), reason=reason, closes=closes)


READY_FOR_TLS = _reply(220, "2.0.0 SMTP server ready")
AUTHENTICATED = _reply(235, "2.7.0 Authentication successful")
PROMPT_USERNAME = _reply(334, "VXNlcm5hbWU6")
PROMPT_PASSWORD = _reply(334, "UGFzc3dvcmQ6")
PROMPT_EMPTY = _reply(334, "")
SENDER_OK = _reply(250, "2.1.0 Sender OK")
RECIPIENT_OK = _reply(250, "2.1.5 Recipient OK")
START_INPUT = _reply(354, "Start mail input; end with <CRLF>.<CRLF>")
OK = _reply(250, "2.0.0 OK")
RESETTING = _reply(250, "2.0.0 Resetting")
CLOSING = _reply(221, "2.0.0 Service closing transmission channel", closes=True)
CANNOT_VERIFY = _reply(252, "2.1.5 Cannot VRFY user")
HELP = Reply(
    code=214,
    lines=(
        "This server supports the following commands:",
        "HELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH BDAT",
    ),
)

UNRECOGNIZED = _reply(500, "5.3.3 Unrecognized command", "syntax")
TOO_LONG = _reply(500, "5.5.2 Command too long", "syntax")
INVALID_ARGUMENTS = _reply(501, "5.5.4 Invalid arguments", "syntax")
UNRECOGNIZED_PARAMETER = _reply(501, "5.5.4 Unrecognized parameter", "syntax")
UNSUPPORTED_BODY = _reply(501, "5.5.4 Unsupported BODY type", "syntax")
ARGUMENTS_MISSING = _reply(501, "5.5.4 Required arguments not present", "syntax")
EHLO_NEEDS_DOMAIN = _reply(501, "5.0.0 EHLO requires domain address", "syntax")
HELO_NEEDS_DOMAIN = _reply(501, "5.0.0 HELO requires domain address", "syntax")
INVALID_DOMAIN = _reply(501, "5.5.4 Invalid domain name", "syntax")
INVALID_RECIPIENT = _reply(501, "5.1.3 Invalid address", "syntax")
INVALID_SENDER = _reply(501, "5.1.7 Invalid address", "syntax")
LONG_RECIPIENT = _reply(501, "5.1.3 Long addresses not supported", "syntax")
LONG_SENDER = _reply(501, "5.1.7 Long addresses not supported", "syntax")
SMTPUTF8_MISSING = _reply(501, "5.1.6 SMTPUTF8 argument required.", "syntax")
NOT_IMPLEMENTED = _reply(502, "5.3.3 Command not implemented", "syntax")
BAD_SEQUENCE = _reply(503, "5.5.1 Bad sequence of commands", "sequence")
HELLO_FIRST = _reply(503, "5.5.2 Send hello first", "sequence")
NEED_MAIL = _reply(503, "5.5.2 Need mail command", "sequence")
NEED_RCPT = _reply(503, "5.5.2 Need rcpt command", "sequence")
SENDER_SPECIFIED = _reply(503, "5.5.2 Sender already specified", "sequence")
ONE_STARTTLS = _reply(503, "5.5.2 Only one STARTTLS command can be issued per session", "sequence")
ONE_AUTH = _reply(503, "5.5.2 Auth command already specified", "sequence")
AUTH_CANCELLED = _reply(501, "5.5.4 Authentication cancelled", "auth_cancelled")
TOO_MANY_RECIPIENTS = _reply(452, "4.5.3 Too many recipients", "too_many_recipients")
MESSAGE_TOO_BIG = _reply(552, "5.3.4 Message size exceeds fixed maximum message size", "message_size")
HEADER_TOO_BIG = _reply(552, "5.3.4 Header size exceeds fixed maximum size", "header_size")
BARE_LINE_FEEDS = _reply(554, "5.6.0 Invalid message content, contains bare linefeeds", "bare_line_feeds")
SEVERAL_AUTHORS = _reply(
    550, "5.1.20 Multiple From addresses are not allowed without Sender address", "several_authors"
)
NO_AUTHOR = _reply(550, "5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", "no_author")
RESTRICTED_SENDER = _reply(550, "5.1.8 Access denied, bad outbound sender AS(42004)", "restricted_sender")
TOO_MANY_ERRORS = _reply(
    421, "4.7.0 Too many errors on this connection, closing transmission channel", "error_limit", closes=True
)
TIMED_OUT = _reply(451, "4.7.0 Timeout waiting for client input", "idle", closes=True)
RATE_EXCEEDED = _reply(
    421,
    "4.4.2 Message submission rate for this client has exceeded the configured limit",
    "message_rate",
    closes=True,
)
TOO_MANY_CONNECTIONS = _reply(
    421,
    "4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
    "connections",
    closes=True,
)
NO_RESOURCES = _reply(452, "4.3.1 Insufficient system resources", "resources")
SERVICE_STOPS = _reply(421, "4.3.2 Service not available", "service_stops", closes=True)

_EXTENSIONS = ("PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8")


def greeting(front: FrontEnd, now: datetime) -> Reply:
    """Return the first line of a session."""
    date = greeting_date(now)
    text = f"{front.greeting_name} Microsoft ESMTP MAIL Service ready at {date} [{front.session_id}]"
    return _reply(220, text)


def hello(front: FrontEnd, client: str) -> Reply:
    """Return the answer to HELO."""
    return _reply(250, f"{front.greeting_name} Hello [{client}]")


def extended_hello(front: FrontEnd, client: str, *, octets: int, encrypted: bool) -> Reply:
    """Return the answer to EHLO: AUTH stands where STARTTLS stood, once the session is encrypted."""
    special = "AUTH LOGIN XOAUTH2" if encrypted else "STARTTLS"
    lines = (f"{front.greeting_name} Hello [{client}]", f"SIZE {octets}")
    return Reply(code=250, lines=lines + tuple(name or special for name in _EXTENSIONS))


def chunk_received(octets: int) -> Reply:
    """Return the answer to a BDAT chunk that is not the last."""
    return _reply(250, f"2.6.0 CHUNK received OK, {octets} octets")


def message_accepted(front: FrontEnd, message_id: str) -> Reply:
    """Return the success reply at the end of DATA."""
    return _reply(250, f"2.0.0 OK {message_id} [Hostname={front.mailbox_server}]")


def unrecognized_authentication(front: FrontEnd, now: datetime) -> Reply:
    """AUTH in clear text, or a mechanism that is not offered."""
    return _reply(504, f"5.7.4 Unrecognized authentication type {front.suffix(now)}", "auth_type")


def not_authenticated(front: FrontEnd, now: datetime, earlier: Reply | None) -> Reply:
    """MAIL without a login; an earlier refusal of AUTH is quoted whole."""
    text = "5.7.57 Client not authenticated to send mail."
    tail = front.suffix(now) if earlier is None else f"Error: {earlier}"
    return _reply(530, f"{text} {tail}", "not_authenticated")


def authentication_unsuccessful(front: FrontEnd, now: datetime) -> Reply:
    """The generic refusal: the identity could not be established."""
    return _reply(535, f"5.7.3 Authentication unsuccessful {front.suffix(now)}", "identity")


def smtp_authentication_disabled(front: FrontEnd, now: datetime, where: Literal["Tenant", "Mailbox"]) -> Reply:
    """SMTP AUTH is switched off for the organisation or the mailbox."""
    return _unsuccessful(
        front,
        now,
        f"SmtpClientAuthentication is disabled for the {where}. "
        "Visit https://aka.ms/smtp_auth_disabled for more information.",
        f"smtp_auth_disabled_{where.lower()}",
    )


_POLICY_SENTENCES = {
    "credentials": "the user credentials were incorrect.",
    "basic_disabled": "basic authentication is disabled.",
    "security_defaults": "user is locked by your organization's security defaults policy. Contact your administrator.",
    "conditional_access": "the request did not meet the criteria to be authenticated successfully. "
    "Contact your administrator.",
    "locked": "account locked. Contact your administrator.",
    "account_issue": "account has an issue. Contact your administrator.",
    "password_expired": "user password has expired.",
}

Policy = Literal[
    "credentials",
    "basic_disabled",
    "security_defaults",
    "conditional_access",
    "locked",
    "account_issue",
    "password_expired",
]
"""Why AUTH LOGIN is refused with 5.7.139; also the key of the sentence."""


def logon_refused(front: FrontEnd, now: datetime, policy: Policy) -> Reply:
    """AUTH LOGIN refused by the password or by a policy."""
    return _unsuccessful(front, now, _POLICY_SENTENCES[policy], policy)


def _unsuccessful(front: FrontEnd, now: datetime, sentence: str, reason: str) -> Reply:
    return _reply(535, f"5.7.139 Authentication unsuccessful, {sentence} {front.suffix(now)}", reason)


def tls_too_old(front: FrontEnd, now: datetime) -> Reply:
    """AUTH over TLS 1.0 or 1.1."""
    return _reply(
        421,
        "4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
        f"Visit https://aka.ms/smtp_auth_tls. {front.suffix(now)}",
        "legacy_tls",
        closes=True,
    )


def concurrency_exceeded(front: FrontEnd) -> Reply:
    """More simultaneous submissions of one mailbox than allowed; said only at the end of DATA."""
    return _reply(
        432,
        "4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending "
        f"for more information. [Hostname={front.mailbox_server}]",
        "concurrency",
    )


def send_as_denied(front: FrontEnd, mailbox: str, address: str) -> Reply:
    """The sender's address is not the mailbox's to use. One line of nearly two thousand characters."""
    what = (
        f"5.2.252 SendAsDenied; {mailbox} not allowed to send as {address}; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; "
    )
    return _reply(554, _store_exception(front, what, "Cannot submit message. "), "send_as_denied")


def quota_exceeded(front: FrontEnd) -> Reply:
    """More recipients in a day than the mailbox may address."""
    what = "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; "
    return _reply(554, _store_exception(front, what, "Submission quota exceeded. "), "recipient_quota")


def mailbox_full(front: FrontEnd) -> Reply:
    """The sender's own mailbox cannot take the copy for Sent Items."""
    what = (
        "5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information.; "
        "STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; "
    )
    return _reply(554, _store_exception(front, what, "Cannot submit message. "), "mailbox_full")


def _store_exception(front: FrontEnd, what: str, sentence: str) -> str:
    """Add the diagnostic tail: a trace of `n.nnnnn:HEX` pairs up to Exchange's bound on a line."""
    head = f"{what}Failed to process message due to a permanent exception with message "
    head += f"[BeginDiagnosticData]{sentence}"
    tail = f"[EndDiagnosticData] [Hostname={front.mailbox_server}]"
    room = MOST_CHARACTERS - 4 - len(head) - len(tail)
    return head + _trace(front.session_id, room) + tail


def _trace(seed: str, room: int) -> str:
    pairs: list[str] = []
    used = 0
    digest = hashlib.sha256(seed.encode()).digest()
    while True:
        digest = hashlib.sha256(digest).digest()
        number = int.from_bytes(digest[:2], "big") % 90_000 + 10_000
        length = 4 if len(pairs) % 3 else 12
        pair = f"{len(pairs) % 32 + 1}.{number}:{digest[4 : 4 + length].hex().upper()}"
        used += len(pair) + 2
        if used > room:
            return ", ".join(pairs)
        pairs.append(pair)
