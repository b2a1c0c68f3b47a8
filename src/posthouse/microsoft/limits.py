"""Limits that Microsoft 365 sets for mail that is handed to it.

Source: "Exchange Online limits" and "Improvements in Exchange Online SMTP AUTH client submission"
(learn.microsoft.com, 2026); what the service said in EHLO in November 2025.
Shape: constants of one sender or one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionLimits:
    """Client submission, for one mailbox.

    Attributes:
        connections: At the same time; a further one is refused after the content.
        messages_per_minute: More are delayed or refused.
        recipients_per_day: In any 24 hours.
        recipients_per_message: A mailbox may be set to 1 to 1,000; 500 is the default.
        message_octets: As EHLO says; a mailbox may be set lower, 35 MB is the default.
    """

    connections: int = 3
    messages_per_minute: int = 30
    recipients_per_day: int = 10_000
    recipients_per_message: int = 500
    message_octets: int = 157_286_400


SUBMISSION = SubmissionLimits()
RECIPIENTS_PER_DOMAIN_AT_MX = 200
"""In one transaction at a tenant's MX; further ones are answered 452 4.5.3."""
