"""Leases: the right to attempt a copy, given with the message and its content.

Shape: `LeaseStore` takes a lease as one job of the writer; messages and contents are then loaded by a reader, so that
the writer never waits for them. A message whose content is missing is held, so that the others of its line go on.
Failures: `StoreUnavailable`. A node that dies keeps its leases until it starts again, or until their time is over.
Leaves to others: when a copy is due again (``queue`` package), settling (``store``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import apsw

from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import (
    Content,
    InlineContent,
    Lease,
    Message,
    RecipientState,
    RecipientUpdate,
    Settlement,
    SpooledContent,
    Waiting,
)
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.decode import read_message
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import encode_json, highest_id, to_micros
from posthouse.store.sqlite.spool import missing_file
from posthouse.store.sqlite.statements import read_statements

NOTICE_LEASE = timedelta(minutes=10)
"""How long `overdue` and `undelayed` keep a copy from other attempts."""

_SQL = read_statements("queue")
_CONTENTS_AT_ONCE = 64

CopyRow = tuple[int, int, str, int, int]
"""Message id, position, hop, attempts, delay_noticed."""


class LeaseStore(Database):
    """Who may attempt what, until when."""

    def __init__(self) -> None:
        self._last_sender: dict[str, str] = {}

    async def lease(
        self, hop: str, *, now: datetime, until: datetime, limit: int, is_fair: bool = False
    ) -> list[Lease]:
        """Take due copies of one waiting line, oldest first or in turns of their senders; `limit` counts messages."""
        due = {"hop": hop, "now": to_micros(now), "limit": limit}

        def take(connection: apsw.Connection) -> list[CopyRow]:
            ids = self._in_turns(connection, due) if is_fair else fetch_json(connection, _SQL["due_messages"], due)
            if not ids:
                return []
            order = {message_id: place for place, message_id in enumerate(ids)}
            copies: list[CopyRow] = fetch_json(connection, _SQL["due_copies"], {**due, "ids": _json(ids)})
            copies.sort(key=lambda copy: (order[copy[0]], copy[1]))
            self._mark_leased(connection, copies, until)
            return copies

        copies = await self.writer.call(take)
        if not copies:
            return []
        leases, broken = await self._leases(copies, until, with_content=True)
        for lease in broken:
            await self._hold(lease, now)
        return leases

    def _in_turns(self, connection: apsw.Connection, due: dict[str, Any]) -> list[int]:
        """One message of each sender, going on behind the sender that was last, then a second one of each."""
        hop = due["hop"]
        found = fetch_json(connection, _SQL["due_in_turns"], {**due, "last": self._last_sender.get(hop, "")})
        if found:
            self._last_sender[hop] = found[-1][1]
        return [message_id for message_id, _ in found]

    async def return_leases(self, *, owner: str | None, now: datetime) -> int:
        """Turn leases of `owner`, or with None those whose time is over, back into due copies."""
        at = to_micros(now)
        find = "expired_leases" if owner is None else "owned_leases"
        wanted = {"now": at} if owner is None else {"owner": owner}

        def give_back(connection: apsw.Connection) -> int:
            lost = fetch_json(connection, _SQL[find], wanted)
            if lost:
                copies = {"copies": _json(lost), "now": at}
                connection.execute(_SQL["record_returns"], {**copies, "kind": EventKind.LEASE_RETURNED.value})
                connection.execute(_SQL["return_leases"], copies)
            return len(lost)

        return await self.writer.call(give_back)

    async def renew_leases(self, messages: Collection[MessageId], *, below: datetime, until: datetime) -> int:
        """Keep leases of this node on these messages that would end before `below`, or have ended."""
        parameters = {
            "owner": self.node,
            "ids": _json(list(messages)),
            "below": to_micros(below),
            "until": to_micros(until),
        }

        def renew(connection: apsw.Connection) -> int:
            connection.execute(_SQL["renew_leases"], parameters)
            return connection.changes()

        return await self.writer.call(renew) if messages else 0

    async def overdue(self, now: datetime, *, limit: int) -> list[Lease]:
        """Pending copies of expired messages, leased to this node for `NOTICE_LEASE`; `limit` counts messages."""
        parameters = {"now": to_micros(now), "limit": limit}
        return await self._take_found("expired_messages", "expired_copies", parameters, now)

    async def undelayed(self, before: datetime, now: datetime, *, limit: int) -> list[Lease]:
        """Pending copies accepted before `before` without a delay notice, leased to this node for `NOTICE_LEASE`.

        Settle them as PENDING with ``next_at=None``, which keeps the time they were due.
        """
        parameters = {
            "now": to_micros(now),
            "before": to_micros(before),
            "highest": highest_id(before),
            "limit": limit,
        }
        return await self._take_found("undelayed_messages", "undelayed_copies", parameters, now)

    async def pending_copies(self, after: tuple[MessageId, int] | None, limit: int) -> list[Lease]:
        """Page through pending and held copies by message and index; `limit` counts copies."""
        after_id, after_position = after or (-1, -1)
        page = {"after_id": after_id, "after_position": after_position, "limit": limit}
        copies = await self.reader.run(lambda c: fetch_json(c, _SQL["pending_page"], page))
        if not copies:
            return []
        leases, _ = await self._leases(sorted(copies), None, with_content=False)
        return leases

    async def content(self, message_id: MessageId) -> Content | None:
        """The octets of a message, or None when they are gone."""
        return await self.reader.run(lambda c: self._content(c, message_id))

    async def _take_found(self, messages: str, copies: str, parameters: dict[str, Any], now: datetime) -> list[Lease]:
        """Look for messages in a reader, then lease their copies that are still as they were found."""
        ids = await self.reader.run(lambda c: fetch_json(c, _SQL[messages], parameters))
        if not ids:
            return []
        until, wanted = now + NOTICE_LEASE, {**parameters, "ids": _json(ids)}

        def take(connection: apsw.Connection) -> list[CopyRow]:
            found: list[CopyRow] = fetch_json(connection, _SQL[copies], wanted)
            self._mark_leased(connection, found, until)
            return found

        found = await self.writer.call(take)
        found.sort(key=lambda copy: (copy[0], copy[2], copy[1]))
        if not found:
            return []
        leases, broken = await self._leases(found, until, with_content=True)
        return leases + broken

    def _mark_leased(self, connection: apsw.Connection, copies: Sequence[CopyRow], until: datetime) -> None:
        parameters = {"copies": _json(copies), "owner": self.node, "until": to_micros(until)}
        connection.execute(_SQL["lease_copies"], parameters)

    async def _hold(self, lease: Lease, now: datetime) -> None:
        """Content is missing: nothing can be sent, but an operator can see it, and the others of the line go on."""
        message_id, text = lease.message.id, "the content of the message is missing: restore the store from a backup"
        updates = tuple(
            RecipientUpdate(index=w.index, state=RecipientState.HELD, last_reply=text, counts_as_attempt=False)
            for w in lease.waiting
        )
        events = tuple(Event(now, EventKind.HELD, message_id, w.index, {"reason": text}) for w in lease.waiting)
        settlement = Settlement(message_id=message_id, updates=updates, events=events)
        await self.writer.submit(self.encoder.settle(settlement), message_id)

    async def _leases(
        self, copies: Sequence[CopyRow], until: datetime | None, *, with_content: bool
    ) -> tuple[list[Lease], list[Lease]]:
        """Leases of copies in the order given, those of one message and hop side by side; then those of messages
        whose content is missing."""
        ids = list(dict.fromkeys(copy[0] for copy in copies))
        messages, missing = await self.reader.run(lambda c: self._messages(c, ids, with_content=with_content))
        leases = [
            Lease(
                message=messages[message_id],
                hop=hop,
                waiting=tuple(_read_waiting(messages[message_id], copy) for copy in its),
                until=messages[message_id].expires_at if until is None else until,
            )
            for (message_id, hop), its in groupby(copies, key=lambda copy: (copy[0], copy[2]))
        ]
        return (
            [lease for lease in leases if lease.message.id not in missing],
            [lease for lease in leases if lease.message.id in missing],
        )

    def _messages(
        self, connection: apsw.Connection, ids: list[int], *, with_content: bool
    ) -> tuple[dict[int, Message], set[int]]:
        """Messages by id, and which of them have lost their content (it reads as empty)."""
        rows = fetch_json(connection, _SQL["messages"], {"ids": _json(ids)})
        inline = [row[0] for row in rows if row[8] is None] if with_content else []
        contents: dict[int, Content] = dict(_inline_contents(connection, inline))
        for row in rows:
            if with_content and row[8] is not None:
                path = self.spool.directory / row[8]
                if path.exists():
                    contents[row[0]] = SpooledContent(
                        path=path,
                        size_octets=row[9],
                        sha256=bytes.fromhex(row[10]),
                        prefix=bytes.fromhex(row[11]),
                    )
        messages = {row[0]: read_message(row[:8], contents.get(row[0], InlineContent(b""))) for row in rows}
        return messages, set(messages) - set(contents) if with_content else set()

    def _content(self, connection: apsw.Connection, message_id: int) -> Content | None:
        data = connection.execute(_SQL["content"], {"id": message_id}).get
        if data is not None:
            return InlineContent(data)
        row = connection.execute(_SQL["spooled"], {"id": message_id}).get
        if row is None:
            return None
        file, size_octets, sha256, prefix = row
        path = self.spool.directory / file
        if not path.exists():
            raise missing_file(path)
        return SpooledContent(path=path, size_octets=size_octets, sha256=sha256, prefix=prefix)


def _json(value: object) -> str:
    return encode_json(value).decode()


def _inline_contents(connection: apsw.Connection, ids: Iterable[int]) -> dict[int, InlineContent]:
    """Contents by id, many to a step: a statement of one row with a column for each message."""
    wanted, found = list(ids), {}
    for start in range(0, len(wanted), _CONTENTS_AT_ONCE):
        some = wanted[start : start + _CONTENTS_AT_ONCE]
        columns = ", ".join(["(SELECT data FROM content WHERE message_id = ?)"] * len(some))
        row = next(connection.execute(f"SELECT {columns}", some))
        found.update(
            {message_id: InlineContent(data) for message_id, data in zip(some, row, strict=True) if data is not None}
        )
    return found


def _read_waiting(message: Message, copy: CopyRow) -> Waiting:
    _, position, _, attempts, delay_noticed = copy
    return Waiting(position, message.envelope.recipients[position], attempts, bool(delay_noticed))
