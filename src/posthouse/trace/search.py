"""Rows of the message trace as Exchange names them, and as CSV.

Source: Microsoft, Get-MessageTraceV2, output: Received, SenderAddress, RecipientAddress, Subject, Status, FromIP, ToIP,
Size, MessageId, MessageTraceId; times in UTC. Connector, Principal, State and LastReply are ours.
Shape: `exchange_fields` for one row, `csv_text` for many.
Failures: none. A cell that a spreadsheet would take for a formula is written as text: subjects come from strangers.
Leaves to others: the search itself (``store``), the reading of filters (``operate``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from posthouse.mail.ids import show_message_id
from posthouse.store.port import TraceRow
from posthouse.trace.status import status_word

FIELDS = (
    "Received",
    "SenderAddress",
    "RecipientAddress",
    "Subject",
    "Status",
    "FromIP",
    "ToIP",
    "Size",
    "MessageId",
    "MessageTraceId",
    "Connector",
    "Principal",
    "State",
    "LastReply",
)
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def exchange_fields(row: TraceRow) -> dict[str, str]:
    """One row under Exchange's names, in the order of `FIELDS`."""
    values = (
        f"{row.received_at:%Y-%m-%dT%H:%M:%SZ}",
        row.sender,
        row.recipient,
        row.subject,
        status_word(row.state),
        row.peer_ip,
        row.remote,
        str(row.size_octets),
        row.header_message_id,
        show_message_id(row.message_id),
        row.connector,
        row.principal,
        row.state.value,
        row.last_reply,
    )
    return dict(zip(FIELDS, values, strict=True))


def csv_text(rows: Iterable[TraceRow]) -> str:
    """A head line and one line a row (RFC 4180, CRLF)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for row in rows:
        writer.writerow([_as_text(cell) for cell in exchange_fields(row).values()])
    return out.getvalue()


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_SIGNS) else cell
