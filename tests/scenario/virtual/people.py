"""What persons do while a scenario plays: they sign in, and see that mail goes again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.emulator.browser import Browser
from tests.scenario.virtual.world import RELAY, Person, World

from posthouse.decide.identities import Delegated
from posthouse.deliver.delegated import SignIn


def resume_at(**moment: float) -> Person:
    """An operator who lets resting accounts send again, so long after the beginning."""

    async def person(world: World) -> None:
        await world.until(**moment)
        await resume(world)

    return person


async def resume(world: World) -> None:
    """Do what ``posthouse identity resume`` does."""
    assert await world.node.budgets.resume(), "nothing rests"


async def sign_in(world: World) -> None:
    """Show a code, and be the person who types it in elsewhere."""
    identities = world.node.identities
    (identity,) = identities.flow().identity
    assert isinstance(identity, Delegated)
    begun = await identities.sign_in.begin(identity, "smtp")
    await asyncio.to_thread(_type_in, world, begun.url, begun.user_code)  # type: ignore[union-attr]
    done = await identities.sign_in.finish(identity, begun.state, {})  # type: ignore[union-attr]
    assert isinstance(done, SignIn), done


def sign_in_again_at(**moment: float) -> Person:
    """A person who is told that the sign-in is dead, and acts."""

    async def person(world: World) -> None:
        await world.until(**moment)
        await sign_in(world)
        await resume(world)

    return person


def in_turn(*persons: Person) -> Person:
    """Several, one after the other."""

    async def person(world: World) -> None:
        work: Coroutine[Any, Any, None]
        for one in persons:
            work = one(world)
            await work

    return person


def _type_in(world: World, url: str, code: str) -> None:
    browser = Browser(world.emulator.ca)
    page = browser.submit(browser.open(url), user_code=code)
    page = browser.submit(page, username=RELAY, password=world.emulator.tenant.mailboxes[RELAY].password)
    while "accept" in page.answers:
        page = browser.submit(page)
