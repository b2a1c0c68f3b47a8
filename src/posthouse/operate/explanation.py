"""Explain what Microsoft 365 said, in the words that commands, trace and queue view show.

Shape: `explain` reads a reply, a log excerpt or a whole notice; `explanation_of` gives the explanation of one reply or
None; `explanation_named` that of an entry.
Failures: none. What is not known is said to be unknown, with the general meaning of its codes.
Leaves to others: the catalogue (``microsoft.replies``), notices as MIME (``wire.report``), layout (``operate.cli``).
"""

from __future__ import annotations

from functools import lru_cache

from posthouse.microsoft.excerpt import MAX_TEXT, Finding, findings
from posthouse.microsoft.replies import Entry, Retry, catalogue, entry_named, find
from posthouse.operate.explanation_shapes import Explained, ReplyExplanation, ReplyFinding
from posthouse.wire.report import ReportedRecipient, read_report
from posthouse.wire.status import status_words

MAX_OCTETS = MAX_TEXT


def explain(text: str | bytes) -> Explained:
    """Find and explain every reply of a text.

    Args:
        text: A reply, a log excerpt or a notice as a message; at most `MAX_OCTETS` are read.
    """
    data = text[:MAX_OCTETS] if isinstance(text, bytes) else text[:MAX_OCTETS].encode("utf-8", "replace")
    report = read_report(data)
    if report is not None:
        found = [finding for recipient in report.recipients for finding in _of_recipient(recipient)]
        if any(finding.explanation is not None for finding in found) or not report.human:
            return Explained(kind="notice", findings=tuple(found))
        in_words = [finding for finding in map(_shown, findings(report.human)) if finding.explanation is not None]
        return Explained(kind="notice", findings=tuple(in_words or found))
    return Explained(kind="text", findings=tuple(map(_shown, findings(_decoded(data)))))


@lru_cache(maxsize=1024)
def explanation_of(text: str) -> ReplyExplanation | None:
    """What one reply means, or None."""
    match = find(text) if text else None
    return describe_entry(match.entry) if match is not None else None


def explanation_in(sentence: str) -> ReplyExplanation | None:
    """What the reply in a sentence of ours means: its words stand there, or the title of what is known about it."""
    by_title = max((e for e in catalogue() if e.title in sentence), key=lambda e: len(e.title), default=None)
    return explanation_of(sentence) or (describe_entry(by_title) if by_title is not None else None)


def explanation_named(name: str) -> ReplyExplanation | None:
    """The explanation of an entry of the catalogue."""
    entry = entry_named(name)
    return describe_entry(entry) if entry is not None else None


def explain_entry(name: str) -> Explained | None:
    """All about one entry, as if its reply had come."""
    entry = entry_named(name)
    match = find(entry.example) if entry is not None else None
    return Explained(kind="text", findings=(_shown(Finding(match.statement, match)),)) if match is not None else None


def describe_entry(entry: Entry) -> ReplyExplanation:
    """An entry of the catalogue in the shape that is shown."""
    return ReplyExplanation(
        id=entry.id,
        title=entry.title,
        meaning=entry.meaning,
        cause=entry.cause,
        who=entry.who.value,
        who_in_words=entry.who.words,
        remedy=entry.remedy,
        portal=entry.portal,
        powershell=entry.powershell,
        relay=relay_words(entry.retry),
        evidence=entry.evidence.value,
        evidence_in_words=entry.evidence.words,
        source=entry.source,
    )


_SCOPE_WORDS = {
    "recipient": "for this recipient",
    "message": "for this message",
    "mailbox": "for this mailbox or identity; others go on",
    "hop": "for all mail of this connector",
}


def relay_words(retry: Retry) -> str:
    """What Posthouse does, as what follows its name."""
    elsewhere = " Another connector of the route is tried at once." if retry.elsewhere else ""
    if retry.outcome == "unknown":
        return "does not send again before it is known whether the message was sent."
    if retry.outcome == "permanent":
        return f"does not try again; the sender is told.{elsewhere}"
    where = _SCOPE_WORDS[retry.scope.value]
    if retry.needs_operator:
        return f"lets mail wait {where}, and does not try again before somebody has acted.{elsewhere}"
    when = f"after {retry.after_minutes} min" if retry.after_minutes else "by its schedule"
    return f"waits and tries again {when}, {where}.{elsewhere}"


def _of_recipient(recipient: ReportedRecipient) -> list[ReplyFinding]:
    """What a notice says about one recipient; its Action decides, not the class of its status."""
    for text in (recipient.diagnostic, recipient.supplement):
        match = find(text) if text else None
        if match is not None:
            return [_shown(Finding(match.statement, match), recipient.address)]
    said = recipient.diagnostic or f"{recipient.status} {recipient.action}".strip()
    general = status_words(None, recipient.status)
    if recipient.action == "failed" and recipient.status.startswith("4"):
        general = f"{general}; nobody tries any more".lstrip("; ")
    return [ReplyFinding(said=said, code=None, enhanced=recipient.status, general=general, recipient=recipient.address)]


def _shown(finding: Finding, recipient: str = "") -> ReplyFinding:
    statement, match = finding.statement, finding.match
    return ReplyFinding(
        said=str(statement)[:2000],
        code=statement.code,
        enhanced=statement.enhanced,
        general=status_words(statement.code, statement.enhanced),
        recipient=recipient,
        count=finding.count,
        explanation=describe_entry(match.entry) if match is not None else None,
    )


def _decoded(data: bytes) -> str:
    """Text of any encoding: PowerShell writes UTF-16."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")
