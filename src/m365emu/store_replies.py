"""What the mailbox server says at the end of DATA.

Purpose: the literal texts of refusals that need the whole message. Source: recorded refusals of Exchange Online;
"SMTP submission improvements". Shape: functions that give a `Reply`, as in `replies`. Store exceptions are one line
of nearly two thousand characters, which clients with small buffers stumble over.
Failures: none. Leaves to others: when each is said (`submission`).
"""

import hashlib
from typing import Literal

from m365emu.hosts import FrontEnd
from m365emu.replies import Reply, one_line

MOST_CHARACTERS = 2000
"""Exchange's own bound on one reply line."""

# ○ whether it is still said: the older documentation has it, no transcript of Exchange Online.
NO_SEND_AS_PERMISSION = one_line(
    550, "5.7.60 SMTP; Client does not have permissions to send as this sender", "send_as_denied"
)
RESTRICTED_SENDER = one_line(550, "5.1.8 Access denied, bad outbound sender AS(42004)", "restricted_sender")
# ◐ the sentence; ○ the stage, which no transcript shows.
EXTERNAL_RECIPIENT = one_line(
    550, "5.5.105 External sending is not supported for High Volume Email accounts", "external_recipient"
)


def concurrency_exceeded(front: FrontEnd) -> Reply:
    """More simultaneous submissions of one mailbox than allowed; said only at the end of DATA."""
    return one_line(
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
    return one_line(554, _store_exception(front, what, "Cannot submit message. "), "send_as_denied")


def quota_exceeded(front: FrontEnd) -> Reply:
    """More recipients in a day than the mailbox may address."""
    what = "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; "
    return one_line(554, _store_exception(front, what, "Submission quota exceeded. "), "recipient_quota")


def mailbox_full(front: FrontEnd) -> Reply:
    """The sender's own mailbox cannot take the copy for Sent Items."""
    what = (
        "5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information.; "
        "STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; "
    )
    return one_line(554, _store_exception(front, what, "Cannot submit message. "), "mailbox_full")


def outbound_spam(front: FrontEnd, verdict: Literal["RefuseQuota", "Suspend"]) -> Reply:
    """Outbound spam control does not let the mailbox send."""
    sentence = f"WASCL UserAction verdict is not None. Actual verdict is {verdict}."
    text = (
        "5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent "
        f"exception with message [BeginDiagnosticData]{sentence} OutboundSpamException: {sentence}[EndDiagnosticData]"
    )
    return one_line(554, f"{text} [Hostname={front.mailbox_server}]", "outbound_spam")


def mailbox_logon_failed(front: FrontEnd) -> Reply:
    """The application is known, but may not open the mailbox."""
    return one_line(430, f"4.2.0 STOREDRV; mailbox logon failure [Hostname={front.mailbox_server}]", "mailbox_logon")


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
