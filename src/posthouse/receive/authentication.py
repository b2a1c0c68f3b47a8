"""One AUTH of one session: between the exchange of octets and the desk that knows the accounts.

Source: RFC 4954 4.
Shape: `Exchange.challenge` takes a response and gives the next challenge where the mechanism knows it; else `result`
asks the `LoginDesk` about accounts, which is a coroutine, and the session waits.
Failures: `Denied` for everything that goes wrong.
Leaves to others: mechanisms (``wire.sasl``), accounts (``receive.login``).
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import assert_never

from posthouse.receive.login import Caller, Denied, LoginDesk, LoginResult
from posthouse.receive.passwords import SCRAM_ITERATIONS
from posthouse.store.port import StoreUnavailable
from posthouse.wire.sasl.exchange import (
    Challenge,
    CheckCertificate,
    CheckPassword,
    Failure,
    NeedCramSecret,
    NeedScramKeys,
    Step,
    Verified,
)
from posthouse.wire.sasl.server import NONCE_OCTETS, begin
from posthouse.wire.smtp.replies import AUTH_TEMPORARILY_FAILED, AUTHENTICATION_FAILED


class Exchange:
    """One run of one mechanism."""

    __slots__ = ("_caller", "_certificate_names", "_desk", "_mechanism", "_step")

    def __init__(
        self, desk: LoginDesk, caller: Caller, hostname: str, certificate_names: tuple[str, ...], now: datetime
    ) -> None:
        """Begin.

        Args:
            caller: Names an offered mechanism.
            certificate_names: Of the client's verified certificate, for EXTERNAL.
            now: Aware UTC.
        """
        self._desk, self._caller, self._certificate_names = desk, caller, certificate_names
        self._mechanism = begin(
            caller.mechanism,
            nonce=secrets.token_bytes(NONCE_OCTETS),
            hostname=hostname,
            now=now,
            pretence_key=desk.pretence_key,
            pretence_iterations=SCRAM_ITERATIONS,
        )
        self._step: Step = Failure("nothing was said")

    def challenge(self, response: bytes | None) -> bytes | None:
        """Take the client's response; None at the start when AUTH had none.

        Returns:
            The next challenge, or None: then `result` has to be asked.
        """
        self._step = self._mechanism.step(response)
        return self._step.data if isinstance(self._step, Challenge) else None

    async def result(self) -> bytes | LoginResult:
        """What follows from the response: a challenge after all, or the end."""
        step = self._step
        try:
            while isinstance(step, NeedCramSecret | NeedScramKeys):
                step = await self._supply(step)
            return step.data if isinstance(step, Challenge) else await self._decide(step)
        except StoreUnavailable as error:
            return Denied(AUTH_TEMPORARILY_FAILED, f"the store did not answer: {error}")

    async def _supply(self, need: NeedCramSecret | NeedScramKeys) -> Step:
        if isinstance(need, NeedCramSecret):
            return self._mechanism.supply(await self._desk.cram_secret(need.username))
        return self._mechanism.supply(await self._desk.scram_keys(need.username))

    async def _decide(
        self, step: CheckPassword | CheckCertificate | NeedCramSecret | NeedScramKeys | Verified | Failure
    ) -> LoginResult:
        match step:
            case CheckPassword():
                return await self._desk.check_password(step.username, step.password, self._caller)
            case CheckCertificate():
                return await self._desk.check_certificate(step.authzid, self._certificate_names, self._caller)
            case Verified():
                return await self._desk.check_proof(step.username, None, self._caller)
            case Failure(reason, username) if username:
                return await self._desk.check_proof(username, reason, self._caller)
            case Failure():
                return Denied(AUTHENTICATION_FAILED, step.reason)
            case NeedCramSecret() | NeedScramKeys():
                raise AssertionError("the mechanism's question was answered")
            case _:
                assert_never(step)
