"""What the front end says: the protocol's sentences, and those about logons.

Purpose: the literal texts in one place. Source: recorded dialogues of smtp.office365.com, the public
documentation of Exchange Online, and for protocol errors the texts of Exchange Server.
Shape: constants where the text is fixed, functions where it carries names or times. A `Reply` that refuses
carries a `reason`, the key under which statistics count it; it never reaches the wire.
Failures: none. Leaves to others: what is said at the end of DATA (`store_replies`), what the MX says
(`exchanger_replies`), when each is said (`smtp.session`, `logon`, `submission`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from m365emu.hosts import FrontEnd, greeting_date

Reason = Literal[
    "",
    "syntax",
    "sequence",
    "auth_cancelled",
    "auth_type",
    "not_authenticated",
    "identity",
    "smtp_auth_disabled_tenant",
    "smtp_auth_disabled_mailbox",
    "credentials",
    "basic_disabled",
    "security_defaults",
    "conditional_access",
    "locked",
    "account_issue",
    "password_expired",
    "federation_unreachable",
    "federation_insecure",
    "basic_retired",
    "legacy_tls",
    "legacy_tls_organization",
    "token_expires_soon",
    "error_limit",
    "idle",
    "session_time",
    "connections",
    "connections_per_address",
    "service_stops",
    "resources",
    "too_many_recipients",
    "message_size",
    "header_size",
    "bare_line_feeds",
    "partial_message",
    "several_authors",
    "no_author",
    "restricted_sender",
    "message_rate",
    "concurrency",
    "send_as_denied",
    "recipient_quota",
    "mailbox_full",
    "outbound_spam",
    "external_recipient",
    "mailbox_logon",
    "bad_hello",
    "tenant_attribution",
    "partner_restriction",
    "direct_send",
    "unknown_recipient",
    "domain_not_accepted",
    "several_tenants",
    "region",
    "banned_address",
    "blocked_connector",
    "tls_required",
    "busy",
    "ipv6_unauthenticated",
    "ipv6_without_name",
    "ipv6_not_accepted",
    "dmarc",
    "hops",
]
"""The keys under which refusals are counted. `fault`, of a refusal on order, is not among them."""


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


def one_line(code: int, text: str, reason: Reason = "", *, closes: bool = False) -> Reply:
    """Return a reply of one line."""
    return Reply(code=code, lines=(text,), reason=reason, closes=closes)


READY_FOR_TLS = one_line(220, "2.0.0 SMTP server ready")
AUTHENTICATED = one_line(235, "2.7.0 Authentication successful")
PROMPT_USERNAME = one_line(334, "VXNlcm5hbWU6")
PROMPT_PASSWORD = one_line(334, "UGFzc3dvcmQ6")
PROMPT_EMPTY = one_line(334, "")
SENDER_OK = one_line(250, "2.1.0 Sender OK")
RECIPIENT_OK = one_line(250, "2.1.5 Recipient OK")
START_INPUT = one_line(354, "Start mail input; end with <CRLF>.<CRLF>")
OK = one_line(250, "2.0.0 OK")
RESETTING = one_line(250, "2.0.0 Resetting")
CLOSING = one_line(221, "2.0.0 Service closing transmission channel", closes=True)
CANNOT_VERIFY = one_line(252, "2.1.5 Cannot VRFY user")
HELP = Reply(
    code=214,
    lines=(
        "This server supports the following commands:",
        "HELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH BDAT",
    ),
)

UNRECOGNIZED = one_line(500, "5.3.3 Unrecognized command", "syntax")
TOO_LONG = one_line(500, "5.5.2 Command too long", "syntax")
INVALID_ARGUMENTS = one_line(501, "5.5.4 Invalid arguments", "syntax")
UNRECOGNIZED_PARAMETER = one_line(501, "5.5.4 Unrecognized parameter", "syntax")
UNSUPPORTED_BODY = one_line(501, "5.5.4 Unsupported BODY type", "syntax")
ARGUMENTS_MISSING = one_line(501, "5.5.4 Required arguments not present", "syntax")
EHLO_NEEDS_DOMAIN = one_line(501, "5.0.0 EHLO requires domain address", "syntax")
HELO_NEEDS_DOMAIN = one_line(501, "5.0.0 HELO requires domain address", "syntax")
INVALID_DOMAIN = one_line(501, "5.5.4 Invalid domain name", "syntax")
INVALID_RECIPIENT = one_line(501, "5.1.3 Invalid address", "syntax")
INVALID_SENDER = one_line(501, "5.1.7 Invalid address", "syntax")
LONG_RECIPIENT = one_line(501, "5.1.3 Long addresses not supported", "syntax")
LONG_SENDER = one_line(501, "5.1.7 Long addresses not supported", "syntax")
SMTPUTF8_MISSING = one_line(501, "5.1.6 SMTPUTF8 argument required.", "syntax")
NOT_IMPLEMENTED = one_line(502, "5.3.3 Command not implemented", "syntax")
BAD_SEQUENCE = one_line(503, "5.5.1 Bad sequence of commands", "sequence")
HELLO_FIRST = one_line(503, "5.5.2 Send hello first", "sequence")
NEED_MAIL = one_line(503, "5.5.2 Need mail command", "sequence")
NEED_RCPT = one_line(503, "5.5.2 Need rcpt command", "sequence")
SENDER_SPECIFIED = one_line(503, "5.5.2 Sender already specified", "sequence")
ONE_STARTTLS = one_line(503, "5.5.2 Only one STARTTLS command can be issued per session", "sequence")
ONE_AUTH = one_line(503, "5.5.2 Auth command already specified", "sequence")
AUTH_CANCELLED = one_line(501, "5.5.4 Authentication cancelled", "auth_cancelled")
TOO_MANY_RECIPIENTS = one_line(452, "4.5.3 Too many recipients", "too_many_recipients")
MESSAGE_TOO_BIG = one_line(552, "5.3.4 Message size exceeds fixed maximum message size", "message_size")
HEADER_TOO_BIG = one_line(552, "5.3.4 Header size exceeds fixed maximum size", "header_size")
BARE_LINE_FEEDS = one_line(554, "5.6.0 Invalid message content, contains bare linefeeds", "bare_line_feeds")
PARTIAL_MESSAGE = one_line(554, "5.6.1 Messages of type message/partial are not supported", "partial_message")
SEVERAL_AUTHORS = one_line(
    550, "5.1.20 Multiple From addresses are not allowed without Sender address", "several_authors"
)
NO_AUTHOR = one_line(550, "5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", "no_author")
TOO_MANY_ERRORS = one_line(
    421, "4.7.0 Too many errors on this connection, closing transmission channel", "error_limit", closes=True
)
CONNECTION_TIMED_OUT = one_line(421, "4.4.1 Connection timed out", "session_time", closes=True)
TIMED_OUT = one_line(451, "4.7.0 Timeout waiting for client input", "idle", closes=True)
RATE_EXCEEDED = one_line(
    421,
    "4.4.2 Message submission rate for this client has exceeded the configured limit",
    "message_rate",
    closes=True,
)
TOO_MANY_CONNECTIONS = one_line(
    421,
    "4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
    "connections",
    closes=True,
)
TOO_MANY_FROM_ADDRESS = one_line(
    421,
    "4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
    "connections_per_address",
    closes=True,
)
NO_RESOURCES = one_line(452, "4.3.1 Insufficient system resources", "resources")
SERVICE_STOPS = one_line(421, "4.3.2 Service not available", "service_stops", closes=True)

_EXTENSIONS = ("PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8")


def greeting(front: FrontEnd, now: datetime) -> Reply:
    """Return the first line of a session; the MX leaves the session's number out."""
    text = f"{front.greeting_name} Microsoft ESMTP MAIL Service ready at {greeting_date(now)}"
    return one_line(220, text if front.role == "exchanger" else f"{text} [{front.session_id}]")


def hello(front: FrontEnd, client: str) -> Reply:
    """Return the answer to HELO."""
    return one_line(250, f"{front.greeting_name} Hello [{client}]")


def extended_hello(front: FrontEnd, client: str, *, octets: int, encrypted: bool) -> Reply:
    """Return the answer to EHLO: AUTH stands where STARTTLS stood, once the session is encrypted; never at the MX."""
    after = "" if front.role == "exchanger" else "AUTH LOGIN XOAUTH2"
    special = after if encrypted else "STARTTLS"
    lines = (f"{front.greeting_name} Hello [{client}]", f"SIZE {octets}", *(name or special for name in _EXTENSIONS))
    return Reply(code=250, lines=tuple(line for line in lines if line))


def chunk_received(octets: int) -> Reply:
    """Return the answer to a BDAT chunk that is not the last."""
    return one_line(250, f"2.6.0 CHUNK received OK, {octets} octets")


def message_accepted(front: FrontEnd, message_id: str) -> Reply:
    """Return the success reply at the end of DATA."""
    return one_line(250, f"2.0.0 OK {message_id} [Hostname={front.mailbox_server}]")


def unrecognized_authentication(front: FrontEnd, now: datetime) -> Reply:
    """AUTH in clear text, or a mechanism that is not offered."""
    return one_line(504, f"5.7.4 Unrecognized authentication type {front.suffix(now)}", "auth_type")


def not_authenticated(front: FrontEnd, now: datetime, earlier: Reply | None) -> Reply:
    """MAIL without a login; an earlier refusal of AUTH is quoted whole."""
    text = "5.7.57 Client not authenticated to send mail."
    tail = front.suffix(now) if earlier is None else f"Error: {earlier}"
    return one_line(530, f"{text} {tail}", "not_authenticated")


def authentication_unsuccessful(front: FrontEnd, now: datetime) -> Reply:
    """The generic refusal: the identity could not be established."""
    return one_line(535, f"5.7.3 Authentication unsuccessful {front.suffix(now)}", "identity")


def smtp_authentication_disabled(front: FrontEnd, now: datetime, where: Literal["Tenant", "Mailbox"]) -> Reply:
    """SMTP AUTH is switched off for the organisation or the mailbox."""
    return _unsuccessful(
        front,
        now,
        f"SmtpClientAuthentication is disabled for the {where}. "
        "Visit https://aka.ms/smtp_auth_disabled for more information.",
        "smtp_auth_disabled_tenant" if where == "Tenant" else "smtp_auth_disabled_mailbox",
    )


Policy = Literal[
    "credentials",
    "basic_disabled",
    "security_defaults",
    "conditional_access",
    "locked",
    "account_issue",
    "password_expired",
    "federation_unreachable",
    "federation_insecure",
]
"""Why AUTH LOGIN is refused with 5.7.139; also the key of the sentence."""

_POLICY_SENTENCES: dict[Policy, str] = {
    "credentials": "the user credentials were incorrect.",
    "basic_disabled": "basic authentication is disabled.",
    "security_defaults": "user is locked by your organization's security defaults policy. Contact your administrator.",
    "conditional_access": "the request did not meet the criteria to be authenticated successfully. "
    "Contact your administrator.",
    "locked": "account locked. Contact your administrator.",
    "account_issue": "account has an issue. Contact your administrator.",
    # ○ the wording.
    "password_expired": "user password has expired.",
    "federation_unreachable": "federated STS service was unreachable.",
    "federation_insecure": "the federated STS URL does not support HTTPS.",
}


def logon_refused(front: FrontEnd, now: datetime, policy: Policy) -> Reply:
    """AUTH LOGIN refused by the password or by a policy."""
    return _unsuccessful(front, now, _POLICY_SENTENCES[policy], policy)


def _unsuccessful(front: FrontEnd, now: datetime, sentence: str, reason: Reason) -> Reply:
    return one_line(535, f"5.7.139 Authentication unsuccessful, {sentence} {front.suffix(now)}", reason)


def tls_too_old(front: FrontEnd, now: datetime) -> Reply:
    """AUTH over TLS 1.0 or 1.1."""
    return one_line(
        421,
        "4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
        f"Visit https://aka.ms/smtp_auth_tls. {front.suffix(now)}",
        "legacy_tls",
        closes=True,
    )


def tls_too_old_for_organization(front: FrontEnd, now: datetime) -> Reply:
    """AUTH over TLS 1.0 or 1.1 at the legacy host, by somebody whose organisation did not opt in."""
    # ◐ the enhanced code and the sentence, which the source cuts off; ○ the basic code.
    text = f"5.7.67 TLS 1.0 and 1.1 are not supported for your organization. {front.suffix(now)}"
    return one_line(550, text, "legacy_tls_organization")


def basic_authentication_retired(code: Literal[550, 535]) -> Reply:
    """AUTH LOGIN after its announced end."""
    # ◐ announced, not yet seen.
    return one_line(code, "5.7.30 Basic authentication is not supported for Client Submission.", "basic_retired")


# ◐ from reports about High Volume Email, not from a transcript.
TOKEN_EXPIRES_SOON = one_line(501, "5.5.127 Invalid XOAUTH2 auth data - Token will expire soon", "token_expires_soon")
