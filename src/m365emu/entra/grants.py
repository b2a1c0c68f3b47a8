"""What a sign-in leaves behind: grants, authorization codes, device codes.

Purpose: keep codes and find them again. Source: RFC 6749 4.1.2, RFC 7636 4, RFC 8628 3.
Shape: `Grant` says who agreed to what. Codes stand in tables of bounded size, where the oldest gives way.
Failures: absence is `None`. Leaves to others: what a grant is good for (`issue`), refresh tokens (`refresh_tokens`).
"""

import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

CODE_LIFETIME = timedelta(minutes=10)

_MOST_CODES = 10_000
_USER_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_USER_CODE_LENGTH = 9


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a user agreed to.

    Attributes:
        client_id, tenant_id, user: who, for which application, in which tenant.
        scope: what was asked for when the user signed in.
        issued: when, in seconds of the epoch.
        password: a mark of the password, to see a change (`Seal.stamp`).
        era: of refresh tokens; another era means that everything was revoked.
        consents: what the user had consented to.
        nonce: what an ID token must repeat.
    """

    client_id: str
    tenant_id: str
    user: str
    scope: str
    issued: float
    password: str
    era: str
    consents: tuple[str, ...] = ()
    nonce: str = ""

    @property
    def moment(self) -> datetime:
        """When it was issued."""
        return datetime.fromtimestamp(self.issued, UTC)


@dataclass(slots=True, kw_only=True)
class AuthorizationCode:
    """A code on its way through the browser; it is good for one use."""

    grant: Grant
    redirect_uri: str
    challenge: str
    method: str
    expires: datetime
    redeemed: bool = False

    def is_verified_by(self, verifier: str) -> bool:
        """Say whether the verifier belongs to the challenge (RFC 7636 4.6)."""
        digest = hashlib.sha256(verifier.encode()).digest()
        transformed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        wanted = transformed if self.method == "S256" else verifier
        return secrets.compare_digest(wanted.encode(), self.challenge.encode())


@dataclass(slots=True, kw_only=True)
class DeviceCode:
    """A device that waits for its person."""

    user_code: str
    client_id: str
    tenant: str
    scope: str
    expires: datetime
    interval: int
    state: Literal["pending", "approved", "declined"] = "pending"
    grant: Grant | None = None
    polled: datetime | None = None


class Grants:
    """Everything that is outstanding."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._codes: OrderedDict[str, AuthorizationCode] = OrderedDict()
        self._devices: OrderedDict[str, DeviceCode] = OrderedDict()
        self._by_user_code: dict[str, str] = {}

    def add_code(self, grant: Grant, redirect_uri: str, challenge: str, method: str) -> str:
        """Keep an authorization code and return it."""
        code = f"1.{secrets.token_urlsafe(48)}"
        self._codes[code] = AuthorizationCode(
            grant=grant,
            redirect_uri=redirect_uri,
            challenge=challenge,
            method=method,
            expires=self._now() + CODE_LIFETIME,
        )
        if len(self._codes) > _MOST_CODES:
            self._codes.popitem(last=False)
        return code

    def code(self, code: str) -> AuthorizationCode | None:
        """Return what a code stands for, redeemed or not."""
        return self._codes.get(code)

    def add_device(
        self, client_id: str, tenant: str, scope: str, lifetime: timedelta, interval: int
    ) -> tuple[str, DeviceCode]:
        """Keep a device code; return it and what it stands for."""
        user_code = "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(_USER_CODE_LENGTH))
        device_code = secrets.token_urlsafe(96)
        device = DeviceCode(
            user_code=user_code,
            client_id=client_id,
            tenant=tenant,
            scope=scope,
            expires=self._now() + lifetime,
            interval=interval,
        )
        self._devices[device_code] = device
        self._by_user_code[user_code] = device_code
        if len(self._devices) > _MOST_CODES:
            self.forget_device(next(iter(self._devices)))
        return device_code, device

    def device(self, device_code: str) -> DeviceCode | None:
        """Return the device that polls with this code."""
        return self._devices.get(device_code)

    def device_for(self, user_code: str) -> DeviceCode | None:
        """Return the device that shows this code and still waits."""
        device = self._devices.get(self._by_user_code.get(user_code.strip().upper(), ""))
        if device is None or device.state != "pending" or device.expires <= self._now():
            return None
        return device

    def forget_device(self, device_code: str) -> None:
        """Drop a device that has got its answer."""
        device = self._devices.pop(device_code, None)
        if device is not None:
            self._by_user_code.pop(device.user_code, None)
