"""The values of accounts, secrets, the flow and the node that cross the control socket (see ``operate.shapes``).

Passwords travel only towards the node; the one exception is a new app password, which is shown once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPasswordView:
    """A device's password, without the password."""

    label: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """An account, without its secrets."""

    name: str
    senders: tuple[str, ...]
    disabled: bool
    has_password: bool
    has_cram_md5: bool
    app_passwords: tuple[AppPasswordView, ...]
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountViews:
    """All accounts by name."""

    accounts: tuple[AccountView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to be made.

    Attributes:
        password: None makes an account that only app passwords open.
        senders: Allowed senders; empty means the name itself.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    senders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """A new password for an account."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSwitch:
    """Enable or disable an account."""

    name: str
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSenders:
    """New allowed senders of an account."""

    name: str
    senders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePassword:
    """An app password by account and label."""

    account: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAppPassword:
    """A fresh app password. It is shown here and never again."""

    account: str
    label: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A secret to be kept for ``secret:NAME``."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """A kept secret, without the secret."""

    name: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SecretViews:
    """All kept secrets by name."""

    secrets: tuple[SecretView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRequest:
    """One revision of the flow; None means the newest."""

    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """One applied version of the flow. `text` is left empty in lists."""

    number: int
    at: datetime
    by: str
    comment: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class RevisionViews:
    """Newest first."""

    revisions: tuple[RevisionView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowApply:
    """A flow to be put into use.

    Attributes:
        text: The whole file.
        base: Newest revision that the writer knew; another one in the meantime is a conflict. None does not ask.
    """

    text: str
    comment: str = ""
    base: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowApplied:
    """The flow is stored, and in use where a node runs.

    Attributes:
        changed: False where the text was in use already.
        in_use: A running node took it over.
        warnings: Sentences.
    """

    number: int
    changed: bool
    in_use: bool
    warnings: tuple[str, ...] = ()
