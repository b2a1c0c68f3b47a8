"""Accounts, flow revisions, secrets.

Shape: `KeepingStore` is the `Keeping` part of the store. One account, one secret and the newest flow are read on the
event loop: a look-up of one row costs less than a thread's hand-over.
Failures: `StoreUnavailable`; ``ValueError`` for an app password whose account does not exist or whose label is taken.
Leaves to others: hashing and sealing (``receive``); nothing here ever sees a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw

from posthouse.store.port import Account, AppPassword, FlowRevision
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.rows import decode_json, encode_json, to_datetime, to_micros
from posthouse.store.sqlite.statements import read_statements

_SQL = read_statements("keeping")


class KeepingStore(Database):
    """What the operator set up."""

    async def accounts(self) -> list[Account]:
        """All accounts by name."""
        return await self.reader.run(lambda c: _accounts(c, None))

    async def account(self, name: str) -> Account | None:
        """One account, name without case."""
        return next(iter(self.reader.at_once(lambda c: _accounts(c, name))), None)

    async def save_account(self, account: Account) -> None:
        """Insert or replace, app passwords excepted; the time of creation stays."""
        row = {
            "name": account.name,
            "password_hash": account.password_hash,
            "senders": encode_json(account.senders).decode(),
            "disabled": int(account.disabled),
            "scram": account.scram,
            "sealed_cram_secret": account.sealed_cram_secret,
            "created_at": to_micros(account.created_at),
            "last_used_at": None if account.last_used_at is None else to_micros(account.last_used_at),
        }
        await self._change("save_account", row)

    async def remove_account(self, name: str) -> bool:
        """Remove with its app passwords; False where there was none."""

        def remove(connection: apsw.Connection) -> bool:
            connection.execute(_SQL["remove_app_passwords"], {"name": name})
            connection.execute(_SQL["remove_account"], {"name": name})
            return connection.changes() > 0

        return await self.writer.call(remove)

    async def add_app_password(self, account: str, label: str, hash_: str, at: datetime) -> int:
        """Add and return its id."""
        row = {"account": account, "label": label, "hash": hash_, "at": to_micros(at)}

        def add(connection: apsw.Connection) -> int:
            if connection.execute(_SQL["account"], {"name": account}).get is None:
                raise ValueError(f"there is no account {account!r}")
            connection.execute(_SQL["add_app_password"], row)
            return connection.last_insert_rowid()

        return await self.writer.call(add)

    async def remove_app_password(self, account: str, label: str) -> bool:
        """Revoke by label."""
        return await self._change("remove_app_password", {"account": account, "label": label})

    async def account_used(self, account: str, app_password: int | None, at: datetime) -> None:
        """Note the last use."""
        parameters = {"name": account, "id": app_password, "at": to_micros(at)}

        def note(connection: apsw.Connection) -> None:
            connection.execute(_SQL["account_used"], parameters)
            if app_password is not None:
                connection.execute(_SQL["app_password_used"], parameters)

        await self.writer.call(note)

    async def save_flow(self, text: str, *, by: str, comment: str, at: datetime) -> FlowRevision:
        """Append a revision."""
        row = {"text": text, "by": by, "comment": comment, "at": to_micros(at)}

        def append(connection: apsw.Connection) -> int:
            connection.execute(_SQL["save_flow"], row)
            return connection.last_insert_rowid()

        number = await self.writer.call(append)
        return FlowRevision(number=number, at=to_datetime(to_micros(at)), by=by, comment=comment, text=text)

    async def flow(self, number: int | None = None) -> FlowRevision | None:
        """The newest revision, or a given one."""
        name, parameters = ("newest_flow", {"limit": 1}) if number is None else ("flow", {"number": number})
        row = self.reader.at_once(lambda c: c.execute(_SQL[name], parameters).get)
        return None if row is None else _read_flow(row)

    async def flow_history(self, limit: int) -> list[FlowRevision]:
        """Newest first."""
        rows = await self.reader.run(lambda c: list(c.execute(_SQL["newest_flow"], {"limit": limit})))
        return [_read_flow(row) for row in rows]

    async def save_secret(self, name: str, sealed: bytes, at: datetime) -> None:
        """Insert or replace an encrypted secret."""
        await self._change("save_secret", {"name": name, "sealed": sealed, "at": to_micros(at)})

    async def secret(self, name: str) -> bytes | None:
        """The encrypted secret."""
        sealed: bytes | None = self.reader.at_once(lambda c: c.execute(_SQL["secret"], {"name": name}).get)
        return sealed

    async def secret_names(self) -> list[tuple[str, datetime]]:
        """Names and the time of the last change."""
        rows = await self.reader.run(lambda c: list(c.execute(_SQL["secret_names"])))
        return [(name, to_datetime(at)) for name, at in rows]

    async def remove_secret(self, name: str) -> bool:
        """False where there was none."""
        return await self._change("remove_secret", {"name": name})

    async def _change(self, name: str, parameters: dict[str, Any]) -> bool:
        def change(connection: apsw.Connection) -> bool:
            connection.execute(_SQL[name], parameters)
            return connection.changes() > 0

        return await self.writer.call(change)


def _accounts(connection: apsw.Connection, name: str | None) -> list[Account]:
    statement = "accounts" if name is None else "account"
    rows = list(connection.execute(_SQL[statement], {"name": name}))
    if not rows:
        return []
    passwords: dict[str, list[AppPassword]] = {}
    for owner, *fields in connection.execute(_SQL["app_passwords"], {"name": name}):
        passwords.setdefault(owner.lower(), []).append(_read_app_password(fields))
    return [_read_account(row, passwords.get(row[0].lower(), ())) for row in rows]


def _read_account(row: Sequence[Any], passwords: Iterable[AppPassword]) -> Account:
    return Account(
        name=row[0],
        password_hash=row[1],
        senders=tuple(decode_json(row[2])),
        disabled=bool(row[3]),
        scram=row[4],
        sealed_cram_secret=row[5],
        app_passwords=tuple(passwords),
        created_at=to_datetime(row[6]),
        last_used_at=None if row[7] is None else to_datetime(row[7]),
    )


def _read_app_password(row: Sequence[Any]) -> AppPassword:
    return AppPassword(
        id=row[0],
        label=row[1],
        hash=row[2],
        created_at=to_datetime(row[3]),
        last_used_at=None if row[4] is None else to_datetime(row[4]),
    )


def _read_flow(row: Sequence[Any]) -> FlowRevision:
    return FlowRevision(number=row[0], at=to_datetime(row[1]), by=row[2], comment=row[3], text=row[4])
