"""The desk for log-ins, asked directly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import pytest
from tests.unit.receive.memory import Clock, MemoryAccounts

from posthouse.mail.event import Event
from posthouse.mail.ids import SessionId
from posthouse.receive import login as login_module
from posthouse.receive.accounts import Accounts
from posthouse.receive.login import Caller, Denied, Granted, LoginDesk
from posthouse.receive.settings import LoginSettings
from posthouse.store.port import Keeping
from posthouse.store.sealing import Sealer

PASSWORD = "correct horse battery"


def caller(ip: str = "192.0.2.1") -> Caller:
    return Caller(ip, "in", SessionId("0" * 16), "PLAIN")


class Bench:
    """A desk with everything it needs."""

    def __init__(self, **settings: object) -> None:
        self.clock, self.store, self.events = Clock(), MemoryAccounts(), list[Event]()
        sealer = Sealer(b"k" * 32)
        self.desk = LoginDesk(
            cast("Keeping", self.store),
            LoginSettings.model_validate(settings),
            sealer,
            monotonic=self.clock.monotonic,
            clock=self.clock.now,
            record=self.events.append,
        )
        self.accounts = Accounts(cast("Keeping", self.store), sealer, clock=self.clock.now)

    async def ask(self, name: str, password: str, ip: str = "192.0.2.1") -> bool:
        return isinstance(await self.desk.check_password(name, password, caller(ip)), Granted)


async def test_a_check_that_succeeded_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(cache_for=timedelta(minutes=10))
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    checks: list[str] = []
    real = login_module.passwords.verify_password

    def counting(stored: str, password: str) -> bool:
        checks.append(stored)
        return real(stored, password)

    monkeypatch.setattr(login_module.passwords, "verify_password", counting)
    for _ in range(3):
        assert await bench.ask("scanner", PASSWORD)
    assert len(checks) == 1
    bench.clock.move(601)
    assert await bench.ask("scanner", PASSWORD)
    assert len(checks) == 2
    bench.desk.forget()
    assert await bench.ask("SCANNER", PASSWORD)
    assert len(checks) == 3
    assert not await bench.ask("nobody", PASSWORD)
    assert len(checks) == 4, "an unknown name costs a check too"


async def test_a_banned_account_still_lets_its_own_device_in() -> None:
    bench = Bench(failures_before_ban=3)
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    assert await bench.ask("scanner", PASSWORD, "192.0.2.1")
    for n in range(3):
        assert not await bench.ask("scanner", f"guess {n}", f"198.51.100.{n}")
    locked = await bench.desk.check_password("scanner", PASSWORD, caller("198.51.100.77"))
    assert isinstance(locked, Denied) and locked.reply.code == 454
    assert await bench.ask("scanner", PASSWORD, "192.0.2.1")
    bench.clock.move(901)
    assert await bench.ask("scanner", PASSWORD, "198.51.100.77")


async def test_an_address_that_guesses_many_names_is_banned() -> None:
    bench = Bench(failures_before_ban=3)
    for n in range(3):
        assert not bench.desk.is_banned("192.0.2.1")
        await bench.ask(f"name{n}", f"guess {n}")
    assert bench.desk.is_banned("192.0.2.1")
    bench.clock.move(901)
    assert not bench.desk.is_banned("192.0.2.1")


async def test_last_use_is_noted_once_a_minute_and_its_failure_is_no_refusal() -> None:
    bench = Bench()
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    for _ in range(5):
        assert await bench.ask("scanner", PASSWORD)
    assert len(bench.store.used) == 1
    bench.clock.move(61)
    assert await bench.ask("scanner", PASSWORD)
    assert len(bench.store.used) == 2


async def test_only_what_must_be_an_address_is_shown_of_a_name_that_nobody_has() -> None:
    bench = Bench()
    await bench.ask("my secret password", "x")
    await bench.ask("typo@example.com", "x")
    shown = [event.detail["account"] for event in bench.events]
    assert shown == ["(unknown name of 18 characters)", "typo@example.com"]


async def test_a_guess_longer_than_any_password_is_not_even_hashed() -> None:
    bench = Bench()
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    assert not await bench.ask("scanner", PASSWORD + "x" * 1000)


async def test_when_too_many_checks_wait_the_answer_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "MAX_WAITING", 3)
    bench = Bench(concurrent_checks=1, failures_before_ban=1000)
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    assert await bench.ask("scanner", PASSWORD)
    wrong = [bench.desk.check_password("scanner", f"guess {n}", caller()) for n in range(10)]
    *answers, remembered = await asyncio.gather(*wrong, bench.desk.check_password("scanner", PASSWORD, caller()))
    assert isinstance(remembered, Granted), "a password that was checked lately needs no thread"
    codes = sorted(answer.reply.code for answer in answers if isinstance(answer, Denied))
    assert codes == [454] * 7 + [535] * 3


async def test_a_disabled_account_is_refused_after_a_proof_too() -> None:
    bench = Bench()
    await bench.accounts.create("scanner", PASSWORD, ["*"])
    assert isinstance(await bench.desk.check_proof("scanner", None, caller()), Granted)
    await bench.accounts.set_disabled("scanner", True)
    assert isinstance(await bench.desk.check_proof("scanner", None, caller()), Denied)
    assert isinstance(await bench.desk.check_proof("nobody", None, caller()), Denied)
    bench.store.is_broken = True
    for answer in (
        await bench.desk.check_proof("scanner", None, caller()),
        await bench.desk.check_certificate("", ("scanner",), caller()),
    ):
        assert isinstance(answer, Denied) and answer.reply.code == 454
