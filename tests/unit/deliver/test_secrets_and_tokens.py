"""Secrets by reference, and tokens that are fetched once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from posthouse.decide.identities import ClientSecret, Delegated
from posthouse.deliver.authority import Asked
from posthouse.deliver.secrets import MAX_SECRET_OCTETS, Secret, SecretOpener, SecretProblem
from posthouse.deliver.tokens import TokenProblem, TokenSource


async def _store(name: str) -> str | None:
    return {"relay": "planted"}.get(name)


async def test_the_three_kinds_of_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from a file\r\n")
    monkeypatch.setenv("POSTHOUSE_TEST_SECRET", "from the environment")
    opener = SecretOpener(_store, tmp_path)
    for reference, value in (
        ("secret:relay", "planted"),
        ("file:secret", "from a file"),
        (f"file:{tmp_path / 'secret'}", "from a file"),
        ("env:POSTHOUSE_TEST_SECRET", "from the environment"),
    ):
        assert await opener.open(reference) == Secret(value)


async def test_what_cannot_be_opened_is_named_without_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * (MAX_SECRET_OCTETS + 1))
    monkeypatch.setenv("POSTHOUSE_EMPTY", "")
    opener = SecretOpener(_store, tmp_path)
    for reference, words in (
        ("secret:other", "other"),
        ("file:missing", "no such file"),
        ("file:empty", "is empty"),
        ("file:binary", "not UTF-8"),
        ("file:large", "too large"),
        ("env:POSTHOUSE_EMPTY", "POSTHOUSE_EMPTY is not set"),
        ("hunter2", '"env:NAME"'),
    ):
        problem = await opener.open(reference)
        assert isinstance(problem, SecretProblem)
        assert words in problem.reason
        assert "hunter2" not in problem.reason


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("planted")
    assert "planted" not in f"{secret} {secret!r} {[secret]}"


APP = ClientSecret(
    name="app",
    tenant="tenant",
    client_id="app",
    client_secret="secret:relay",
    authority="https://login.example/tenant",
)


LONG = "ey" + "J0eXAiOiJKV1Qi" * 10
"""Looks like a token that an authority repeats."""


class Authority:
    """Stands in for the blocking half: answers, and counts the questions."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _: object) -> dict[str, Any]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def source(clock: list[float], *answers: dict[str, Any]) -> tuple[TokenSource, Authority]:
    authority = Authority(*answers)
    return TokenSource(SecretOpener(_store), authority, monotonic=lambda: clock[0]), authority


async def test_many_who_ask_at_once_share_one_request(clock: list[float]) -> None:
    tokens, authority = source(clock, {"access_token": "t", "expires_in": 3600})
    answers = await asyncio.gather(*(tokens.token(APP, "smtp") for _ in range(10)))
    assert set(answers) == {Secret("t")}
    assert authority.asked == 1


async def test_a_token_is_renewed_a_quarter_of_an_hour_before_its_end(clock: list[float]) -> None:
    tokens, authority = source(clock, {"access_token": "t", "expires_in": 3600})
    for seconds, asked in ((0.0, 1), (2699.0, 1), (2701.0, 2)):
        clock[0] = seconds
        await tokens.token(APP, "smtp")
        assert authority.asked == asked


async def test_a_refusal_is_remembered_for_a_moment(clock: list[float]) -> None:
    said = {
        "error": "invalid_client",
        "error_description": f"AADSTS7000215: Invalid client secret planted {LONG} Trace ID: x Timestamp: y",
    }
    tokens, authority = source(clock, said, {"access_token": "t", "expires_in": 3600})
    for _ in range(3):
        problem = await tokens.token(APP, "smtp")
        assert isinstance(problem, TokenProblem)
        assert problem.reason == "no token from login.example: AADSTS7000215: Invalid client secret *** ***"
        assert (problem.code, problem.needs_operator) == ("AADSTS7000215", True)
    assert authority.asked == 1
    clock[0] = 31.0
    assert await tokens.token(APP, "smtp") == Secret("t")


async def test_a_token_that_was_refused_is_forgotten(clock: list[float]) -> None:
    tokens, authority = source(clock, {"access_token": "t", "expires_in": 3600})
    await tokens.token(APP, "smtp")
    tokens.forget(APP, "smtp")
    await tokens.token(APP, "smtp")
    assert authority.asked == 2


async def test_one_who_gives_up_does_not_spoil_it_for_the_others(clock: list[float]) -> None:
    tokens, _ = source(clock, {"access_token": "t", "expires_in": 3600})
    first = asyncio.create_task(tokens.token(APP, "smtp"))
    second = asyncio.create_task(tokens.token(APP, "smtp"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == Secret("t")


async def test_a_short_token_is_renewed_at_half_its_life(clock: list[float]) -> None:
    tokens, authority = source(clock, {"access_token": "t", "expires_in": 600})
    for seconds, asked in ((0.0, 1), (299.0, 1), (301.0, 2)):
        clock[0] = seconds
        await tokens.token(APP, "smtp")
        assert authority.asked == asked


async def test_what_a_token_is_for_decides_its_scope(clock: list[float]) -> None:
    scopes = []

    def ask(asked: Asked) -> dict[str, Any]:
        scopes.append(asked.scope)
        return {"access_token": "t", "expires_in": 3600}

    tokens = TokenSource(SecretOpener(_store), ask, monotonic=lambda: clock[0])
    await tokens.token(APP, "smtp")
    await tokens.token(APP.model_copy(update={"cloud": "china"}), "smtp")
    await tokens.token(APP.model_copy(update={"cloud": "dod"}), "graph")
    assert scopes == [
        "https://outlook.office365.com/.default",
        "https://partner.outlook.cn/.default",
        "https://dod-graph.microsoft.us/.default",
    ]


async def test_what_a_person_did_is_looked_at_at_once(clock: list[float]) -> None:
    tokens, authority = source(clock, {"error": "invalid_client"}, {"access_token": "t", "expires_in": 3600})
    assert isinstance(await tokens.token(APP, "smtp"), TokenProblem)
    tokens.forget_identity("app")
    assert await tokens.token(APP, "smtp") == Secret("t")
    assert authority.asked == 2


async def test_without_a_vault_nobody_is_signed_in(clock: list[float]) -> None:
    tokens, authority = source(clock, {"access_token": "t", "expires_in": 3600})
    alice = Delegated(name="alice", kind="device_code", tenant="t", client_id="c", user="alice@x.example")
    problem = await tokens.token(alice, "smtp")
    assert isinstance(problem, TokenProblem) and problem.needs_operator and not authority.asked
