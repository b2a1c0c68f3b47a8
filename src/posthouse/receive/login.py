"""Log-ins: who somebody is, at a bounded cost, and what becomes of those who guess.

Source: RFC 4954 4 and 6 (replies), RFC 5802 (SCRAM keys), RFC 2195 (CRAM-MD5), RFC 4422 appendix A (EXTERNAL).
Shape: `LoginDesk` is asked by a session and answers with `Granted` or `Denied`; the session gives the reply after the
delay that `Denied` names. Passwords are hashed in a few threads; a check that succeeded is remembered for a while under
a keyed hash which contains the account's stored hash, so that a changed password is asked for at once.
Failures: a store that cannot answer makes `Denied` with a temporary reply, and never counts as a wrong password.
Leaves to others: the exchanges (``wire.sasl``), replies on the wire (``receive.connection``), accounts
(``receive.accounts``).

An unknown name costs what a known one does, in time and in replies. A banned account still lets in the addresses from
which it was used lately: guessing must not become a way to lock a device out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from posthouse.decide.policy import Rights
from posthouse.mail.address import Address, AddressError
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import SessionId
from posthouse.mail.reply import Reply
from posthouse.mail.session import Principal, PrincipalKind
from posthouse.receive import passwords
from posthouse.receive.bans import Bans, address_key
from posthouse.receive.settings import LoginSettings
from posthouse.store.port import Account, AppPassword, Keeping, StoreUnavailable
from posthouse.store.sealing import SealBroken, Sealer
from posthouse.wire.sasl.scram import ScramKeys
from posthouse.wire.smtp.replies import AUTH_TEMPORARILY_FAILED, AUTHENTICATION_FAILED

MAX_WAITING = 100
"""Password checks in the line for a thread; beyond it the answer is temporary."""
MAX_REMEMBERED = 4096
_USE_NOTED_EVERY = timedelta(minutes=1)
_SHOWN_NAME = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,255}")
_NO_HASH = "$argon2id$v=19$m=19456,t=2,p=1$Ajz4eHa3N+wImH1c2+TYNQ$YbSNWJOGs0iAOAKhbqQTyARdObBHQ+gki/QC1agaC84"
"""Of a value that nobody knows: what the password for an unknown account is compared with."""


class Caller(NamedTuple):
    """Which session asks, and by which mechanism."""

    ip: str
    listener: str
    session: SessionId
    mechanism: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The session may go on with these rights."""

    rights: Rights


@dataclass(frozen=True, slots=True)
class Denied:
    """The session may not.

    Attributes:
        reply: What the client reads.
        reason: What the operator reads.
        delay_seconds: To be waited before the reply.
    """

    reply: Reply
    reason: str
    delay_seconds: float = 0.0


LoginResult = Granted | Denied


class LoginDesk:
    """Answers for all accounts of the node.

    Attributes:
        bans_by_address, bans_by_account: Failures so far.
        pretence_key: Makes SCRAM salts of accounts that do not exist (``wire.sasl.server.begin``).
    """

    def __init__(
        self,
        store: Keeping,
        settings: LoginSettings,
        sealer: Sealer,
        *,
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
        record: Callable[[Event], None],
    ) -> None:
        """Begin with no bans and nothing remembered.

        Args:
            monotonic: Seconds of any clock that never goes back.
            clock: Aware UTC.
            record: Takes LOGIN events.
        """
        self._store, self._settings, self._sealer = store, settings, sealer
        self._monotonic, self._clock, self._record = monotonic, clock, record
        self._pool = ThreadPoolExecutor(settings.concurrent_checks, thread_name_prefix="login")
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self.pretence_key = sealer.derive("scram-pretence")
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._known_places: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._noted: dict[tuple[str, int | None], datetime] = {}
        self.bans_by_address = Bans(settings.failures_before_ban, settings.ban_for)
        self.bans_by_account = Bans(settings.failures_before_ban, settings.ban_for)

    def close(self) -> None:
        """Stop the threads; checks that run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def is_banned(self, ip: str) -> bool:
        """Whether sessions from this address are turned away."""
        return self.bans_by_address.is_banned(address_key(ip), self._monotonic())

    def forget(self) -> None:
        """Forget all checks that succeeded; the next log-in of each is checked anew."""
        self._remembered.clear()

    async def check_password(self, name: str, password: str, caller: Caller) -> LoginResult:
        """PLAIN and LOGIN."""
        name = name.lower()
        if self._is_locked(name, caller.ip):
            return self._locked(name, caller)
        try:
            account = await self._store.account(name)
        except StoreUnavailable as error:
            return Denied(AUTH_TEMPORARILY_FAILED, f"the store did not answer: {error}")
        device = _find_device(account, password)
        is_known = device is not None or self._is_remembered(account, password)
        if not is_known and self._waiting >= MAX_WAITING:
            return Denied(AUTH_TEMPORARILY_FAILED, "too many password checks are waiting")
        if not is_known and not await self._main_password_fits(account, password):
            return self._refuse(account, name, password.encode("utf-8", "surrogatepass"), caller, "wrong password")
        assert account is not None
        return await self._conclude(account, device, caller)

    async def check_proof(self, name: str, problem: str | None, caller: Caller) -> LoginResult:
        """The end of SCRAM or CRAM-MD5, or of an exchange that broke once a name was known.

        Args:
            problem: Why the client did not prove that it knows the secret of this name; None if it did.
        """
        name = name.lower()
        if self._is_locked(name, caller.ip):
            return self._locked(name, caller)
        try:
            account = await self._store.account(name)
        except StoreUnavailable as error:
            return Denied(AUTH_TEMPORARILY_FAILED, f"the store did not answer: {error}")
        if account is None or problem is not None:
            # Of a proof nobody can tell which password was tried, so each one counts.
            return self._refuse(account, name, secrets.token_bytes(8), caller, problem or "no account")
        return await self._conclude(account, None, caller)

    async def check_certificate(self, identity: str, names: tuple[str, ...], caller: Caller) -> LoginResult:
        """EXTERNAL: the account that is called like a name in the client's verified certificate.

        Args:
            identity: The name that was asked for, or empty for whichever fits.
            names: Names in the certificate, lower case.
        """
        wanted = identity.lower()
        if wanted and wanted not in names:
            return self._refuse(None, wanted, b"", caller, "the certificate does not bear that name")
        try:
            found = [await self._store.account(name) for name in ((wanted,) if wanted else names[:10])]
        except StoreUnavailable as error:
            return Denied(AUTH_TEMPORARILY_FAILED, f"the store did not answer: {error}")
        account = next((a for a in found if a is not None), None)
        if account is None:
            return self._refuse(None, wanted, b"", caller, "no account is called like the certificate")
        return await self._conclude(account, None, caller)

    async def scram_keys(self, name: str) -> ScramKeys | None:
        """Keys for an exchange; None where there are none. Raises `StoreUnavailable`."""
        account = await self._store.account(name.lower())
        return passwords.read_scram_keys(account.scram) if account is not None else None

    async def cram_secret(self, name: str) -> str | None:
        """The password for a CRAM-MD5 exchange; None where it is not kept. Raises `StoreUnavailable`."""
        account = await self._store.account(name.lower())
        if account is None or not account.sealed_cram_secret or not self._settings.allow_cram_md5:
            return None
        try:
            return self._sealer.open(account.sealed_cram_secret, cram_purpose(account.name)).decode()
        except SealBroken:
            return None

    def _is_remembered(self, account: Account | None, password: str) -> bool:
        if account is None or not account.password_hash or len(password) > passwords.MAX_LENGTH:
            return False
        return self._remembered.get(self._digest(account.password_hash, password), 0.0) > self._monotonic()

    async def _main_password_fits(self, account: Account | None, password: str) -> bool:
        if len(password) > passwords.MAX_LENGTH:
            return False
        stored = account.password_hash if account is not None else ""
        self._waiting += 1
        try:
            fits = await asyncio.get_running_loop().run_in_executor(
                self._pool, passwords.verify_password, stored or _NO_HASH, password
            )
        finally:
            self._waiting -= 1
        if not stored or not fits:
            return False
        self._remembered[self._digest(stored, password)] = self._monotonic() + self._settings.cache_for.total_seconds()
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return True

    async def _conclude(self, account: Account, device: AppPassword | None, caller: Caller) -> LoginResult:
        """The secret was right; the account may still be closed."""
        name = account.name.lower()
        if account.disabled:
            return self._refuse(account, name, b"disabled", caller, "the account is disabled")
        self.bans_by_address.succeeded(address_key(caller.ip))
        self.bans_by_account.succeeded(name)
        place = (name, address_key(caller.ip))
        self._known_places[place] = self._monotonic()
        self._known_places.move_to_end(place)
        if len(self._known_places) > MAX_REMEMBERED:
            self._known_places.popitem(last=False)
        self._note(caller, account.name, "accepted", label=device.label if device else "")
        await self._note_use(account, device)
        return Granted(rights_of(account, device.label if device else ""))

    def _is_locked(self, name: str, ip: str) -> bool:
        now = self._monotonic()
        return self.bans_by_account.is_banned(name, now) and (name, address_key(ip)) not in self._known_places

    def _locked(self, name: str, caller: Caller) -> Denied:
        self._note(caller, _shown(name), "refused", reason="the account is banned for a while")
        return Denied(AUTH_TEMPORARILY_FAILED, "the account is banned for a while after many failures")

    def _refuse(self, account: Account | None, name: str, guess: bytes, caller: Caller, reason: str) -> Denied:
        now = self._monotonic()
        known = account is not None
        why = reason if known else "unknown account"
        digest = self._digest(name, guess.hex())
        delay = max(
            self.bans_by_address.failed(address_key(caller.ip), digest, now),
            self.bans_by_account.failed(name, digest, now),
        )
        self._note(caller, account.name if account is not None else _shown(name), "refused", reason=why)
        return Denied(AUTHENTICATION_FAILED, why, delay)

    def _note(self, caller: Caller, account: str, result: str, *, reason: str = "", label: str = "") -> None:
        detail = {
            "account": account,
            "mechanism": caller.mechanism,
            "result": result,
            "reason": reason,
            "label": label,
            "peer": caller.ip,
            "listener": caller.listener,
            "session": caller.session,
        }
        self._record(Event(self._clock(), EventKind.LOGIN, detail={k: v for k, v in detail.items() if v}))

    async def _note_use(self, account: Account, device: AppPassword | None) -> None:
        now = self._clock()
        key = (account.name, device.id if device else None)
        if key in self._noted and now - self._noted[key] < _USE_NOTED_EVERY:
            return
        if len(self._noted) > MAX_REMEMBERED:
            self._noted.clear()
        self._noted[key] = now
        try:
            await self._store.account_used(account.name, device.id if device else None, now)
        except StoreUnavailable:
            # The date of last use is worth less than the log-in.
            del self._noted[key]

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\0".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256)


def rights_of(account: Account, label: str = "") -> Rights:
    """What an account may do."""
    senders = account.senders
    if not senders:
        try:
            senders = (str(Address.parse(account.name)),)
        except AddressError:
            senders = ()
    return Rights(
        principal=Principal(PrincipalKind.ACCOUNT, account.name, label),
        senders=senders,
        any_recipient=True,
        null_sender="*" in senders,
    )


def cram_purpose(account: str) -> str:
    """What a CRAM-MD5 secret is sealed for."""
    return f"cram-md5:{account.lower()}"


def _find_device(account: Account | None, password: str) -> AppPassword | None:
    for device in account.app_passwords if account is not None else ():
        if passwords.matches_app_password(device.hash, password):
            return device
    return None


def _shown(name: str) -> str:
    """A name that no account has. People type passwords into the wrong field, so only what must be an address shows."""
    return name if _SHOWN_NAME.fullmatch(name) else f"(unknown name of {len(name)} characters)"
