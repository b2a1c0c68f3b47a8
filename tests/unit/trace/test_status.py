"""Statuses as Exchange words them, and rows as its message trace has them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from posthouse.mail.ids import make_message_id, show_message_id
from posthouse.mail.message import RecipientState
from posthouse.store.port import TraceRow
from posthouse.trace.search import FIELDS, csv_text, exchange_fields
from posthouse.trace.status import STATUSES, states_of, status_word

ROW = TraceRow(
    message_id=make_message_id(1_795_284_476_000, 77),
    index=0,
    received_at=datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC),
    sender="a@example.com",
    recipient="b@example.net",
    subject='=HYPERLINK("http://evil.example"),x',
    state=RecipientState.EXPIRED,
    peer_ip="192.0.2.1",
    remote="198.51.100.7",
    size_octets=4096,
    header_message_id="<1@example.com>",
    principal="account:scanner",
    connector="m365",
    last_reply="451 4.7.0 later",
)


def test_every_state_has_a_word_and_every_word_finds_its_states() -> None:
    for state in RecipientState:
        assert state in states_of(status_word(state).upper())
    assert states_of("failed") == (RecipientState.FAILED, RecipientState.EXPIRED)
    assert states_of("expired") == (RecipientState.EXPIRED,)
    assert states_of("lost") == ()
    assert set(STATUSES) >= {"Delivered", "Failed", "Pending", "Held", "Unknown"}


def test_a_row_has_exchanges_names() -> None:
    fields = exchange_fields(ROW)
    assert tuple(fields) == FIELDS
    assert fields["Received"] == "2026-11-21T18:07:56Z"
    assert (fields["Status"], fields["State"]) == ("Failed", "expired")
    assert fields["MessageTraceId"] == show_message_id(ROW.message_id)


@pytest.mark.parametrize("count", [0, 2])
def test_csv_is_read_back_and_holds_no_formula(count: int) -> None:
    head, *lines = csv.reader(io.StringIO(csv_text([ROW] * count)))
    assert tuple(head) == FIELDS
    assert len(lines) == count
    for line in lines:
        assert line[3] == "'" + ROW.subject
