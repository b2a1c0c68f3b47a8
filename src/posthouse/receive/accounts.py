"""Accounts as the operator handles them: made, changed, closed, removed.

Shape: `Accounts` is a thin service over the store for the commands and the control API. Every method returns after the
change is on disk; log-ins follow at once, because they ask the store each time.
Failures: `AccountProblem`, a sentence for the operator; `StoreUnavailable`.
Leaves to others: log-ins (``receive.login``), hashing and policy (``receive.passwords``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from posthouse.mail.address import Address, AddressError
from posthouse.receive import passwords
from posthouse.receive.login import cram_purpose
from posthouse.store.port import Account, Keeping
from posthouse.store.sealing import Sealer

MAX_APP_PASSWORDS = 500
_NAME = re.compile(r"[^\s\x00-\x1f\x7f<>\"\\,;:()\[\]]{1,254}")
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{1,80}")


class AccountProblem(ValueError):
    """What was asked for cannot be done; the text says why and never repeats a password."""


class Accounts:
    """All accounts of a store."""

    def __init__(
        self,
        store: Keeping,
        sealer: Sealer,
        *,
        clock: Callable[[], datetime],
        keeps_cram_secrets: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Work on a store.

        Args:
            keeps_cram_secrets: Also keep the password itself, sealed, as CRAM-MD5 needs it.
            on_change: Called after a change that may take rights away, so that open sessions lose them too.
        """
        self._on_change = on_change
        self._store, self._sealer, self._clock = store, sealer, clock
        self._keeps_cram_secrets = keeps_cram_secrets

    async def all(self) -> list[Account]:
        """By name."""
        return await self._store.accounts()

    async def create(self, name: str, password: str | None, senders: Sequence[str] = ()) -> Account:
        """Make an account.

        Args:
            password: None for an account that only has passwords of devices.
            senders: Addresses, ``@domain``, ``@*.domain`` or ``*``; none means the name itself, which must then be an
                address.
        """
        name = name.strip()
        if not _NAME.fullmatch(name):
            raise AccountProblem(f"{name[:40]!r} cannot be a login name: 1-254 characters without blanks and brackets")
        if await self._store.account(name) is not None:
            raise AccountProblem(f"there is an account {name!r} already")
        if not senders and "@" not in name:
            raise AccountProblem(f"{name!r} is not an address, so say which senders the account may use")
        account = Account(
            name=name, password_hash="", senders=tuple(map(read_sender, senders)), created_at=self._clock()
        )
        if password is not None:
            account = await self._with_password(account, password)
        await self._store.save_account(account)
        return account

    async def set_password(self, name: str, password: str) -> None:
        """Change the main password; the passwords of devices stay."""
        account = await self._existing(name)
        await self._store.save_account(await self._with_password(account, password))
        self._on_change()

    async def set_senders(self, name: str, senders: Sequence[str]) -> None:
        """Change the allowed senders."""
        account = await self._existing(name)
        await self._store.save_account(replace(account, senders=tuple(map(read_sender, senders))))
        self._on_change()

    async def set_disabled(self, name: str, disabled: bool) -> None:
        """Close an account, or open it again. Its passwords stay."""
        account = await self._existing(name)
        await self._store.save_account(replace(account, disabled=disabled))
        self._on_change()

    async def add_app_password(self, name: str, label: str) -> str:
        """Make a password for one device.

        Returns:
            The password, to be shown once; only a digest is kept.
        """
        account = await self._existing(name)
        label = label.strip()
        if not _LABEL.fullmatch(label):
            raise AccountProblem("a label has 1-80 printable characters, for instance the name of the device")
        if any(device.label == label for device in account.app_passwords):
            raise AccountProblem(f"{account.name!r} has a password for {label!r} already; revoke it first")
        if len(account.app_passwords) >= MAX_APP_PASSWORDS:
            raise AccountProblem(f"an account has at most {MAX_APP_PASSWORDS} passwords for devices")
        password = passwords.make_app_password()
        await self._store.add_app_password(account.name, label, passwords.hash_app_password(password), self._clock())
        return password

    async def revoke_app_password(self, name: str, label: str) -> None:
        """Take the password of one device away."""
        account = await self._existing(name)
        if not await self._store.remove_app_password(account.name, label):
            known = ", ".join(repr(device.label) for device in account.app_passwords) or "none"
            raise AccountProblem(f"{account.name!r} has no password for {label!r}; it has: {known}")
        self._on_change()

    async def remove(self, name: str) -> None:
        """Remove an account with all its passwords."""
        account = await self._existing(name)
        await self._store.remove_account(account.name)
        self._on_change()

    async def _existing(self, name: str) -> Account:
        account = await self._store.account(name.strip())
        if account is None:
            raise AccountProblem(f"there is no account {name[:80]!r}")
        return account

    async def _with_password(self, account: Account, password: str) -> Account:
        problem = passwords.password_problem(account.name, password)
        if problem is not None:
            raise AccountProblem(problem)
        hashed = await asyncio.to_thread(passwords.hash_password, password)
        keys = await asyncio.to_thread(passwords.make_scram_keys, password)
        sealed = b""
        if self._keeps_cram_secrets:
            sealed = self._sealer.seal(passwords.prepare(password).encode(), cram_purpose(account.name))
        return replace(account, password_hash=hashed, scram=keys, sealed_cram_secret=sealed)


def read_sender(text: str) -> str:
    """An allowed sender in the form that is compared.

    Raises:
        AccountProblem: Not an address, ``@domain``, ``@*.domain`` or ``*``.
    """
    text = text.strip()
    if text == "*":
        return text
    local, at, domain = text.rpartition("@")
    try:
        parsed = Address.parse(f"{local or 'x'}@{domain.removeprefix('*.')}" if at else text)
    except AddressError as error:
        raise AccountProblem(f'{text[:80]!r} is not an address, "@domain", "@*.domain" or "*"') from error
    if local:
        return str(parsed)
    return f"@{'*.' if domain.startswith('*.') else ''}{parsed.domain}"
