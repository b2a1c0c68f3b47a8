"""What stands between the relay and Entra may say anything: it is a problem, never a fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.scenario.identities import entra
from tests.scenario.identities.conftest import Time

from m365emu.emulator import Emulator
from posthouse.deliver.secrets import Secret
from posthouse.deliver.tokens import TokenProblem, TokenSource

NONSENSE = [
    (200, "[]"),
    (200, "null"),
    (200, '"text"'),
    (200, "{}"),
    (200, '{"access_token": 5, "expires_in": 3600}'),
    (200, '{"access_token": "", "expires_in": 3600}'),
    (200, '{"access_token": "a\\r\\nb", "expires_in": 3600}'),
    (200, "<html>a proxy's page</html>"),
    (400, "[]"),
    (400, '{"error": 5, "error_description": []}'),
    (500, "<html>down</html>"),
    (302, "elsewhere"),
]


@pytest.fixture
async def nonsense(emulator: Emulator) -> AsyncIterator[list[tuple[int, str]]]:
    """What stands between the relay and Entra says instead, for as long as something is in this list."""
    said: list[tuple[int, str]] = []

    @web.middleware
    async def say(request: web.Request, handler: Any) -> web.StreamResponse:
        if not said or not request.path.endswith("/token"):
            answer: web.StreamResponse = await handler(request)
            return answer
        status, text = said.pop(0)
        return web.Response(status=status, text=text, headers={"Location": "https://127.0.0.1:1/"})

    serve = emulator._serve

    async def serve_nonsense(app: web.Application, *where: Any) -> str:
        app.middlewares.append(say)
        return await serve(app, *where)

    emulator._serve = serve_nonsense  # type: ignore[method-assign]
    await emulator.stop()
    await emulator.__aenter__()
    yield said


@pytest.mark.parametrize("answer", NONSENSE)
async def test_an_authority_that_talks_nonsense_gives_a_problem_and_never_a_fault(
    emulator: Emulator, tokens: TokenSource, at: Time, nonsense: list[tuple[int, str]], answer: tuple[int, str]
) -> None:
    nonsense.append(answer)
    problem = await tokens.token(entra.secret_identity(emulator), "smtp")
    assert isinstance(problem, TokenProblem), problem
    assert "no token from 127.0.0.1" in problem.reason and not problem.needs_operator
    at.now += timedelta(minutes=1)
    assert isinstance(await tokens.token(entra.secret_identity(emulator), "smtp"), Secret)


@pytest.mark.parametrize("lifetime", ["-5", '"soon"', "null", "1e400", "true", "[]"])
async def test_a_token_whose_life_is_nonsense_does_no_harm(
    emulator: Emulator, tokens: TokenSource, at: Time, nonsense: list[tuple[int, str]], lifetime: str
) -> None:
    nonsense.append((200, f'{{"access_token": "t", "expires_in": {lifetime}}}'))
    first = await tokens.token(entra.secret_identity(emulator), "smtp")
    assert first == Secret("t") or isinstance(first, TokenProblem)
    at.now += timedelta(days=2)
    second = await tokens.token(entra.secret_identity(emulator), "smtp")
    assert isinstance(second, Secret) and second != first
