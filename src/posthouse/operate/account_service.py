"""Accounts and app passwords, in the shapes of the control API.

Shape: every change answers with the account as it is afterwards.
Failures: what ``receive.accounts`` refuses becomes a `Refusal` with its sentence.
Leaves to others: names, password rules, hashing (``receive.accounts``), log-ins (``receive.login``).
"""

from __future__ import annotations

from posthouse.operate.account_shapes import (
    AccountSenders,
    AccountSwitch,
    AccountView,
    AccountViews,
    AppPasswordView,
    DevicePassword,
    NewAccount,
    NewAppPassword,
    PasswordChange,
)
from posthouse.operate.shapes import Named, Nothing, Refusal
from posthouse.receive.accounts import AccountProblem, Accounts
from posthouse.store.port import Account, Store


class AccountService:
    """Who may log in, and as whom they may send."""

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store, self._accounts = store, accounts

    async def list(self, request: Nothing, by: str) -> AccountViews:
        """All accounts by name."""
        return AccountViews(tuple(_view(account) for account in await self._accounts.all()))

    async def add(self, request: NewAccount, by: str) -> AccountView | Refusal:
        """Make an account; without a password only app passwords open it."""
        try:
            return _view(await self._accounts.create(request.name, request.password, request.senders))
        except AccountProblem as problem:
            return _refusal(problem)

    async def set_password(self, request: PasswordChange, by: str) -> AccountView | Refusal:
        """Replace the password; app passwords stay."""
        try:
            await self._accounts.set_password(request.name, request.password)
        except AccountProblem as problem:
            return _refusal(problem)
        return await self._show(request.name)

    async def switch(self, request: AccountSwitch, by: str) -> AccountView | Refusal:
        """Enable or disable."""
        try:
            await self._accounts.set_disabled(request.name, request.disabled)
        except AccountProblem as problem:
            return _refusal(problem)
        return await self._show(request.name)

    async def set_senders(self, request: AccountSenders, by: str) -> AccountView | Refusal:
        """Replace the allowed senders."""
        try:
            await self._accounts.set_senders(request.name, request.senders)
        except AccountProblem as problem:
            return _refusal(problem)
        return await self._show(request.name)

    async def remove(self, request: Named, by: str) -> Nothing | Refusal:
        """Remove with its app passwords."""
        try:
            await self._accounts.remove(request.name)
        except AccountProblem as problem:
            return _refusal(problem)
        return Nothing()

    async def add_app_password(self, request: DevicePassword, by: str) -> NewAppPassword | Refusal:
        """Make one; the answer is the only place where it is ever shown."""
        try:
            password = await self._accounts.add_app_password(request.account, request.label)
        except AccountProblem as problem:
            return _refusal(problem)
        return NewAppPassword(account=request.account, label=request.label, password=password)

    async def revoke_app_password(self, request: DevicePassword, by: str) -> Nothing | Refusal:
        """Revoke by label."""
        try:
            await self._accounts.revoke_app_password(request.account, request.label)
        except AccountProblem as problem:
            return _refusal(problem)
        return Nothing()

    async def _show(self, name: str) -> AccountView | Refusal:
        account = await self._store.account(name)
        if account is None:
            return Refusal(code="not_found", message=f"there is no account {name[:100]!r}")
        return _view(account)


def _view(account: Account) -> AccountView:
    return AccountView(
        name=account.name,
        senders=account.senders or (account.name,),
        disabled=account.disabled,
        has_password=bool(account.password_hash),
        has_cram_md5=bool(account.sealed_cram_secret),
        app_passwords=tuple(
            AppPasswordView(label=known.label, created_at=known.created_at, last_used_at=known.last_used_at)
            for known in account.app_passwords
        ),
        created_at=account.created_at,
        last_used_at=account.last_used_at,
    )


def _refusal(problem: AccountProblem) -> Refusal:
    return Refusal(code="invalid", message=str(problem))
