"""Find all replies in a longer text: a log excerpt, a copied notice, the output of a program.

Source: the shapes of Exchange's protocol logs, Postfix's log lines, transcripts and traces as seen in the field.
Shape: `findings` cuts the text into records (a log line, a paragraph), reads the statements of each, and gives every
different one once, with how often it came.
Failures: none. Work is linear in the length of the text, and bounded.
Leaves to others: one reply (``microsoft.replies``), notices as MIME messages (``wire.report``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.microsoft.replies import Match, find, find_statement
from posthouse.microsoft.statement import Statement, statements

MAX_TEXT = 5_000_000
MAX_UNKNOWN = 100
"""Replies that nobody knows, of different kinds; what is known is never left out."""
MAX_RECORD = 16_384
_FEW_RECORDS = 5
_PARTICULARS = re.compile(r"<[^<>]{0,300}>|\[[^\[\]]{0,300}\]|[^\s]{0,64}[@\d][^\s]{0,200}")
_LINE_BEGINS = re.compile(
    r"\d{4}-\d\d-\d\d[T ]|\d{1,2}[./]\d{1,2}[./]\d{2,4}[ ,]|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d|\[?\d\d:\d\d:\d\d"
    r"|#[A-Z]|[CS]: |[<>]{1,3} |<- |-> |<~|DEBUG|INFO|WARN|ERROR|[A-Za-z-]{1,40}: (?:dns|rfc822|smtp|failed)\b"
)
_TELLING = re.compile(
    r"(?<!\d)[45]\d\d[\s\"',;:(-]|[45]\.\d{1,3}\.\d|AADSTS|STOREDRV|RESOLVER|Error[A-Z]|Throttl|Token|quota|RESTAPI"
    r"|\"code\"|Code: |Authorization_|Request|authenticat|supported|aka\.ms",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One reply of a text.

    Attributes:
        statement: What was said.
        match: What it means, or None where nobody knows.
        count: How often it came.
    """

    statement: Statement
    match: Match | None
    count: int = 1


def findings(text: str) -> tuple[Finding, ...]:
    """All replies of a text, in the order in which they come first.

    Positive replies are left out unless there is nothing else.
    """
    counted: dict[str, Finding] = {}
    positive: list[Finding] = []
    unknown = 0
    all_records = [record for record in records(text[:MAX_TEXT]) if _TELLING.search(record) or len(text) < MAX_RECORD]
    is_short = len(all_records) <= _FEW_RECORDS
    for record in all_records:
        for statement, match in _read(record, is_short):
            if match is None and _is_positive(statement):
                positive.append(Finding(statement, None))
                continue
            key = match.entry.id if match is not None else _likeness(statement)
            before = counted.get(key)
            if before is not None:
                counted[key] = Finding(before.statement, before.match, before.count + 1)
            elif match is not None or unknown < MAX_UNKNOWN:
                counted[key] = Finding(statement, match)
                unknown += match is None
    if not any(finding.match is not None for finding in counted.values()) and len(text) < MAX_RECORD:
        # One reply, wrapped so that its lines look like those of a log.
        match = find(text)
        if match is not None:
            return (Finding(match.statement, match),)
    return tuple(counted.values()) or tuple(positive[:1])


def records(text: str) -> Iterator[str]:
    """Log lines with what belongs to them, or paragraphs."""
    lines: list[str] = []
    size = 0
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        begins = _LINE_BEGINS.match(line.lstrip(" \t([")) is not None
        if lines and (begins or not line.strip() or size > MAX_RECORD):
            yield "\n".join(lines)
            lines, size = [], 0
        if line.strip():
            lines.append(line[:MAX_RECORD])
            size += len(line)
    if lines:
        yield "\n".join(lines)


def _read(record: str, is_short: bool) -> Iterator[tuple[Statement, Match | None]]:
    """What one record says: what is known of it, else what has the form of a reply."""
    found = statements(record)
    singles = [(statement, find_statement((statement,))) for statement in found]
    known = [(statement, match) for statement, match in singles if match is not None]
    if len(known) > 1:
        known = [(statement, match) for statement, match in known if not match.entry.gives_way] or known[:1]
    if known:
        first: dict[str, tuple[Statement, Match]] = {}
        for each in known:
            first.setdefault(each[1].entry.id, each)
        yield from first.values()
        return
    match = find(record)
    if match is not None:
        yield match.statement, match
        return
    for statement in found:
        if statement.enhanced or (statement.code is not None and is_short):
            yield statement, None


def _likeness(statement: Statement) -> str:
    """The same for replies that differ in addresses and numbers only."""
    return f"{statement.code} {statement.enhanced} {_PARTICULARS.sub('', statement.text[:400])}"


def _is_positive(statement: Statement) -> bool:
    return (statement.enhanced or str(statement.code or "")).startswith("2")
