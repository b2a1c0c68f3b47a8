"""What is kept of a person's sign-in: the refresh token, sealed, with its age.

Source: "Refresh tokens in the Microsoft identity platform": 90 days without use end them, each use gives a new one;
MSAL's serialised token cache.
Shape: `SignIn` is the value; `SignIns` reads and writes it in the vault, one change at a time for each identity.
Failures: None where nobody signed in, or where what is kept cannot be read.
Leaves to others: signing in (``deliver.sign_in``), refreshing (``deliver.tokens``).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from posthouse.deliver.vault import Vault

Purpose = Literal["smtp", "graph"]
"""What a token is for; identity and cloud give the scope."""

INACTIVE_LIFETIME = timedelta(days=90)
"""A refresh token ends when it is not used for so long."""


class SignIn(Struct, frozen=True, kw_only=True):
    """A sign-in that goes on.

    Attributes:
        cache: MSAL's token cache with the refresh token, without access tokens.
        user: Who signed in, as Entra names them.
        purpose: What the first token was for: surely consented to.
        signed_in_at: When the person acted.
        refreshed_at: When the refresh token was last renewed.
    """

    cache: str
    user: str
    purpose: Purpose
    signed_in_at: datetime
    refreshed_at: datetime

    def __repr__(self) -> str:
        return f"<SignIn of {self.user}>"

    @property
    def ends_at(self) -> datetime:
        """When it ends if nothing renews it."""
        return self.refreshed_at + INACTIVE_LIFETIME


class SignIns:
    """All sign-ins of the node.

    Attributes:
        locks: One for each identity; whoever renews holds it, so that no newer sign-in is overwritten.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def read(self, identity: str) -> SignIn | None:
        """The sign-in of an identity by name."""
        text = await self._vault.read(_name(identity))
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=SignIn)
        except msgspec.MsgspecError:
            return None

    async def write(self, identity: str, sign_in: SignIn) -> None:
        """Keep in place of an older one."""
        await self._vault.write(_name(identity), msgspec.json.encode(sign_in).decode())

    async def remove(self, identity: str) -> None:
        """Sign out here; Entra is not told."""
        await self._vault.remove(_name(identity))


def _name(identity: str) -> str:
    return f"identity/{identity}/sign-in"
