"""The refusals of Graph.

Purpose: every error that is given, with its HTTP status, code and sentence. Source: "Microsoft Graph error responses
and resource types", "user: sendMail", "Send Outlook messages from another user", "Attach large files to Outlook
messages", ResponseCode of Exchange Web Services; reports of users for the rest. Marks: `✔` seen or documented,
`◐` one source, `○` the code exists, status or sentence is assumed.
Shape: `GraphError` is raised by handlers and carries the fields; `body` makes the JSON object.
Failures: none. Leaves to others: when each applies.
"""

from datetime import datetime


class GraphError(Exception):
    """A refusal.

    Attributes:
        status: the HTTP status.
        code: for programs.
        message: for people.
        reason: the key it is counted by.
        headers: what is sent besides, for example Retry-After.
    """

    def __init__(
        self, status: int, code: str, message: str, *, reason: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason or f"graph_{code}"
        self.headers = headers or {}

    def body(self, now: datetime, request_id: str, client_request_id: str) -> dict[str, object]:
        """Return the JSON object."""
        inner = {
            "date": f"{now:%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": client_request_id,
        }
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


def token_refused(sentence: str) -> GraphError:
    """401 ✔; the sentences for an empty, an expired and a foreign token are ✔, the others ○."""
    challenge = (
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
        'client_id="00000003-0000-0000-c000-000000000000"'
    )
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        sentence,
        reason="graph_token",
        headers={"WWW-Authenticate": challenge},
    )


def access_denied() -> GraphError:
    """403 ✔: a mailbox, and no permission for it."""
    return GraphError(
        403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.", reason="graph_access_denied"
    )


def request_denied() -> GraphError:
    """403 ✔: an object of the directory, and no permission for it."""
    return GraphError(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
        reason="graph_access_denied",
    )


def me_needs_a_user() -> GraphError:
    """400 ✔."""
    return GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")


def invalid_user(name: str) -> GraphError:
    """404 ✔: an address that no user has."""
    return GraphError(404, "ErrorInvalidUser", f"The requested user '{name}' is invalid.")


def resource_not_found() -> GraphError:
    """404 ✔: an object id that leads to no mailbox."""
    return GraphError(404, "ResourceNotFound", "Resource could not be discovered.")


def no_such_object(name: str) -> GraphError:
    """404 ✔: the directory has no such object."""
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{name}' does not exist or one of its queried reference-property objects are not present.",
    )


def no_mailbox() -> GraphError:
    """404 ✔: a user without a mailbox in the cloud."""
    return GraphError(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )


def no_such_segment(segment: str) -> GraphError:
    """400 ✔."""
    return GraphError(400, "BadRequest", f"Resource not found for the segment '{segment[:100]}'.")


def method_not_allowed() -> GraphError:
    """405 ○."""
    return GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")


def item_not_found() -> GraphError:
    """404 ✔."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def malformed_id() -> GraphError:
    """400 ✔."""
    return GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")


def unreadable_body(sentence: str) -> GraphError:
    """400 ✔: JSON that is none, or has a property too many."""
    return GraphError(400, "RequestBodyRead", sentence)


def invalid_query(sentence: str) -> GraphError:
    """400 ✔ for a property that does not exist, ○ for the other sentences."""
    return GraphError(400, "RequestBroker--ParseUri", sentence)


def request_too_large() -> GraphError:
    """413 ✔; code and sentence ○."""
    return GraphError(413, "RequestEntityTooLarge", "The request entity is too large.", reason="graph_too_large")


def send_as_denied() -> GraphError:
    """403 ✔."""
    return GraphError(
        403,
        "ErrorSendAsDenied",
        "The user account which was used to submit this request does not have the right to send mail on behalf of "
        "the specified sending account., Cannot submit message.",
        reason="send_as_denied",
    )


def no_recipients() -> GraphError:
    """400 ✔."""
    return GraphError(
        400,
        "ErrorInvalidRecipients",
        "At least one recipient is not valid., A message can't be sent because it contains no recipients.",
        reason="invalid_recipients",
    )


def invalid_recipients(address: str) -> GraphError:
    """400 ✔; the sentence after the comma is ◐."""
    return GraphError(
        400,
        "ErrorInvalidRecipients",
        f"At least one recipient is not valid., Recipient '{address[:320]}' is not resolved. "
        "All recipients must be resolved before a message can be submitted.",
        reason="invalid_recipients",
    )


def too_many_recipients() -> GraphError:
    """400 ○: the limit is documented, the refusal is not."""
    return GraphError(
        400,
        "ErrorInvalidRecipients",
        "The message can't be submitted because it has more recipients than allowed.",
        reason="too_many_recipients",
    )


def mime_not_base64() -> GraphError:
    """400 ✔."""
    return GraphError(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")


def mime_invalid() -> GraphError:
    """400 ◐; the sentence is ○."""
    return GraphError(400, "ErrorMimeContentInvalid", "The MIME content is invalid.")


def message_too_big() -> GraphError:
    """400 ◐, the sentence ✔."""
    return GraphError(
        400,
        "ErrorMessageSizeExceeded",
        "The message exceeds the maximum supported size.",
        reason="message_too_big",
    )


def mailbox_full() -> GraphError:
    """400 ◐ (507 is documented for Graph as a whole), the sentence ✔."""
    return GraphError(400, "ErrorQuotaExceeded", "Mailbox has exceeded maximum mailbox size.", reason="mailbox_full")


def submission_quota_exceeded() -> GraphError:
    """429 ◐ (older servers say 500), the sentence ✔."""
    return GraphError(
        429,
        "ErrorSubmissionQuotaExceeded",
        "The message couldn't be sent because the sender's submission quota was exceeded. Please try again later.",
        reason="recipient_quota",
    )


def restricted_sender() -> GraphError:
    """403 ◐."""
    return GraphError(
        403,
        "ErrorMessageSubmissionBlocked",
        "Cannot send mail. Follow the instructions in your Inbox to verify your account.",
        reason="restricted_sender",
    )


def outbound_spam(verdict: str) -> GraphError:
    """403 or 429 ◐: the words are those that SMTP gives, as users report them of Graph."""
    status, code = (
        (429, "ErrorExceededMessageLimit") if verdict == "RefuseQuota" else (403, "ErrorMessageSubmissionBlocked")
    )
    return GraphError(
        status,
        code,
        "Cannot send mail. Follow the instructions in your Inbox to verify your account., WASCL UserAction verdict is "
        f"not None. Actual verdict is {verdict}, ShowTierUpgrade.",
        reason="outbound_spam",
    )


def no_resources() -> GraphError:
    """503 ✔; given when this machine's disk takes no more."""
    return GraphError(
        503,
        "ErrorServerBusy",
        "The server cannot service this request right now. Try again later.",
        reason="resources",
        headers={"Retry-After": "10"},
    )


def mailbox_concurrency() -> GraphError:
    """429 ✔; how long to wait is ○."""
    return GraphError(
        429,
        "ApplicationThrottled",
        "Application is over its MailboxConcurrency limit.",
        reason="graph_concurrency",
        headers={"Retry-After": "1", "RateLimit-Exceeded": "MailboxConcurrency"},
    )


def too_many_requests(seconds: int) -> GraphError:
    """429 ✔; the sentence ○."""
    return GraphError(
        429,
        "TooManyRequests",
        "Too many requests. Try again later.",
        reason="graph_rate",
        headers={"Retry-After": str(max(1, seconds))},
    )
