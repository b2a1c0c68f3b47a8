"""The replies that the server machine gives by itself, and the ordinary ones that its driver gives.

Source: RFC 5321 4.2, RFC 3463, RFC 4954 6, RFC 3030 2; the texts follow Exchange where it has one, because the people
who read them know them.
Shape: constants of `Reply`; `octets` gives what goes on the wire and remembers it.
Failures: none.
Leaves to others: replies that a policy decides (``receive``); those of remote servers (``deliver.classify``).
"""

from __future__ import annotations

from functools import lru_cache

from posthouse.mail.reply import Reply

OK = Reply.of(250, "2.0.0", "OK")
RESETTING = Reply.of(250, "2.0.0", "Resetting")
SENDER_OK = Reply.of(250, "2.1.0", "Sender OK")
RECIPIENT_OK = Reply.of(250, "2.1.5", "Recipient OK")
START_MAIL_INPUT = Reply.of(354, "", "Start mail input; end with <CRLF>.<CRLF>")
CLOSING = Reply.of(221, "2.0.0", "Service closing transmission channel")
READY_FOR_TLS = Reply.of(220, "2.0.0", "SMTP server ready")
AUTHENTICATED = Reply.of(235, "2.7.0", "Authentication successful")
CANNOT_VERIFY = Reply.of(252, "2.1.5", "Cannot VRFY user")
HELP = Reply(
    214,
    "2.0.0",
    (
        "This server supports the following commands:",
        "HELO EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
    ),
)

TOO_MANY_ERRORS = Reply.of(421, "4.7.0", "Too many errors, closing transmission channel")
SERVICE_NOT_AVAILABLE = Reply.of(421, "4.3.2", "Service not available")
IDLE_TOO_LONG = Reply.of(421, "4.4.1", "Connection timed out")
SHUTTING_DOWN = Reply.of(421, "4.3.2", "Service shutting down, try again shortly")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3", "Too many recipients")
TLS_NOT_AVAILABLE = Reply.of(454, "4.7.0", "TLS not available due to temporary reason")
AUTH_TEMPORARILY_FAILED = Reply.of(454, "4.7.0", "Temporary authentication failure")

UNRECOGNIZED_COMMAND = Reply.of(500, "5.3.3", "Unrecognized command")
COMMAND_TOO_LONG = Reply.of(500, "5.5.2", "Command too long")
AUTH_LINE_TOO_LONG = Reply.of(500, "5.5.6", "Authentication exchange line is too long")
BARE_NEWLINE_IN_COMMAND = Reply.of(500, "5.5.2", "Commands must end with <CR><LF>")
UNREADABLE_COMMAND = Reply.of(500, "5.5.2", "Command holds characters that are not allowed")
INVALID_ARGUMENTS = Reply.of(501, "5.5.4", "Invalid arguments")
INVALID_SENDER = Reply.of(501, "5.1.7", "Invalid address")
INVALID_RECIPIENT = Reply.of(501, "5.1.3", "Invalid address")
SENDER_TOO_LONG = Reply.of(501, "5.1.7", "Long addresses not supported")
RECIPIENT_TOO_LONG = Reply.of(501, "5.1.3", "Long addresses not supported")
CANNOT_DECODE = Reply.of(501, "5.5.2", "Cannot decode response")
AUTH_CANCELLED = Reply.of(501, "5.7.0", "Authentication cancelled")
NOT_IMPLEMENTED = Reply.of(502, "5.3.3", "Command not implemented")
BAD_SEQUENCE = Reply.of(503, "5.5.1", "Bad sequence of commands")
SEND_HELLO_FIRST = Reply.of(503, "5.5.2", "Send hello first")
NEED_MAIL = Reply.of(503, "5.5.1", "Need mail command")
NEED_RCPT = Reply.of(503, "5.5.1", "Need rcpt command")
SENDER_ALREADY_SPECIFIED = Reply.of(503, "5.5.1", "Sender already specified")
ALREADY_SECURED = Reply.of(503, "5.5.1", "Only one STARTTLS command can be issued per session")
ALREADY_AUTHENTICATED = Reply.of(503, "5.5.1", "Already authenticated")
BINARY_NEEDS_BDAT = Reply.of(503, "5.5.1", "BODY=BINARYMIME requires BDAT")
UNKNOWN_MECHANISM = Reply.of(504, "5.7.4", "Unrecognized authentication type")
STARTTLS_FIRST = Reply.of(530, "5.7.0", "Must issue a STARTTLS command first")
AUTHENTICATION_REQUIRED = Reply.of(530, "5.7.57", "Client not authenticated to send mail")
AUTHENTICATION_FAILED = Reply.of(535, "5.7.3", "Authentication unsuccessful")
BARE_NEWLINE = Reply.of(550, "5.6.11", "Message contains bare carriage return or line feed characters")
MESSAGE_TOO_LARGE = Reply.of(552, "5.3.4", "Message size exceeds fixed maximum message size")
NEEDS_SMTPUTF8 = Reply.of(553, "5.6.7", "Internationalized address requires SMTPUTF8")
NO_VALID_RECIPIENTS = Reply.of(554, "5.5.1", "No valid recipients")
LINE_TOO_LONG = Reply.of(554, "5.6.0", "Message contains a line that is too long")
FOREIGN_PROTOCOL = Reply.of(554, "5.5.2", "This is an SMTP server, closing transmission channel")
UNEXPECTED_TLS = Reply.of(554, "5.5.2", "TLS was not expected here, closing transmission channel")
UNKNOWN_PARAMETER = Reply.of(555, "5.5.4", "Unsupported parameter")


@lru_cache(maxsize=256)
def octets(reply: Reply) -> bytes:
    """What `Reply.encode` gives, remembered: nearly every reply of a session was given before."""
    return reply.encode()


@lru_cache(maxsize=64)
def chunk_received(count: int) -> Reply:
    """The answer to a BDAT that is not the last (RFC 3030 2)."""
    return Reply.of(250, "2.6.0", f"CHUNK received OK, {count} octets")
