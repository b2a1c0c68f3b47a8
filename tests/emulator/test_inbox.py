"""The inbox over HTTP: lists, octets, sessions, pages, and orders."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.emulator.talk import CLIENT_ID, SECRET, Talk, logged_on, logged_on_by_token

from m365emu.emulator import Emulator
from m365emu.mailbox import MessageStore

HOSTILE = (
    b'From: relay@contoso.example\r\nMessage-ID: <a"><script>alert(1)</script>@x>\r\n'
    b"Subject: <script>alert(2)</script>\r\nContent-Type: text/html\r\n\r\n<script>alert(3)</script>\r\n"
)


@pytest.fixture
async def http(running: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.inbox) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str, status: int = 200) -> Any:
    async with http.get(path) as answer:
        assert answer.status == status
        return await answer.json()


async def test_messages_are_listed_newest_first_with_all_facts(running: Emulator, http: aiohttp.ClientSession) -> None:
    talk = logged_on_by_token(running)
    talk.submit(b"From: Floor 2 <relay@contoso.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n")
    talk.submit()
    listing = await get(http, "/api/mailboxes/Alice@contoso.example/messages")
    newest, oldest = listing["messages"]
    assert listing["total"] == 2 and newest["message_id"] == "<m@example>"
    assert oldest["subject"] == "Grüße" and oldest["from"] == "Floor 2 <relay@contoso.example>"
    assert newest["envelope_from"] == "relay@contoso.example"
    assert newest["envelope_to"] == ["alice@contoso.example"]
    assert (newest["authentication"], newest["client_ip"], newest["size"]) == ("XOAUTH2", "192.0.2.7", 63)
    assert await get(http, f"/api/messages/{newest['id']}") == newest


async def test_mailboxes_are_listed_with_their_counts_and_the_outboxes(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit(recipients=("alice@contoso.example", "x@example.net", "who@contoso.example"))
    counts = {row["address"]: row["messages"] for row in (await get(http, "/api/mailboxes"))["mailboxes"]}
    assert counts["alice@contoso.example"] == counts["external"] == counts["undeliverable"] == 1
    assert counts["bob@contoso.example"] == 0
    assert (await get(http, "/api/mailboxes/external/messages"))["total"] == 1


async def test_the_raw_message_is_the_octets_that_came(running: Emulator, http: aiohttp.ClientSession) -> None:
    logged_on(running).submit(HOSTILE)
    (record,) = running.store.messages()
    async with http.get(f"/api/messages/{record.id}/raw") as answer:
        assert await answer.read() == HOSTILE
        assert answer.headers["Content-Type"] == "message/rfc822"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_session_of_a_message_shows_the_dialogue_without_secrets(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit()
    (record,) = running.store.messages()
    session = await get(http, f"/api/messages/{record.id}/session")
    assert session["session_id"] == record.session_id
    lines = session["lines"]
    assert lines[0].startswith("S: 220 ") and "C: AUTH LOGIN ****" in lines and "C: ****" in lines
    assert "C: (message content, 63 octets)" in lines
    assert lines[-1].startswith("S: 250 2.0.0 OK <m@example>")


async def test_a_hostile_message_is_shown_as_text_and_nothing_of_it_can_run(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit(HOSTILE)
    (record,) = running.store.messages()
    for path in ("/", "/mailboxes/alice@contoso.example", f"/messages/{record.id}"):
        async with http.get(path) as answer:
            text = await answer.text()
            assert "&lt;script&gt;alert(2)" in text and "<script>" not in text
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            nonces = set(re.findall(r'<script nonce="([^"]+)"', text))
            assert text.count("<script") == len(nonces) <= 1
            assert all(f"script-src 'nonce-{nonce}'" in policy for nonce in nonces)
    async with http.get(f"/messages/{record.id}/html") as answer:
        assert await answer.text() == "<script>alert(3)</script>\r\n"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none'") and "script-src" not in policy


async def test_what_is_not_there_is_said_in_json(http: aiohttp.ClientSession) -> None:
    assert await get(http, "/api/messages/none", 404) == {"error": "there is no such message"}
    assert await get(http, "/api/mailboxes/who@contoso.example/messages", 404) == {"error": "there is no such mailbox"}
    assert "error" in await get(http, "/api/messages?limit=-1", 400)
    assert "error" in await get(http, "/nothing/here", 404)


async def test_a_request_can_wait_for_messages_to_come(running: Emulator, http: aiohttp.ClientSession) -> None:
    path = "/api/mailboxes/alice@contoso.example/messages?at_least=2&wait_seconds=30"
    waiting = asyncio.create_task(get(http, path))
    talk = logged_on(running)
    talk.submit()
    await get(http, "/api/mailboxes")
    assert not waiting.done()
    talk.submit()
    assert (await waiting)["total"] == 2


async def test_all_messages_can_be_removed(running: Emulator, http: aiohttp.ClientSession) -> None:
    logged_on(running).submit()
    async with http.delete("/api/messages") as answer:
        assert await answer.json() == {"removed": 1}
    assert await get(http, "/api/messages") == {"total": 0, "messages": []}
    assert not list(running.store.directory.glob("m-*"))


async def test_the_tenant_is_shown_without_secrets_and_can_be_changed(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    patch = {
        "switches": {"smtp_client_authentication_disabled": True},
        "mailboxes": {"alice@contoso.example": None, "new@contoso.example": {"password": "brand-new-word"}},
    }
    async with http.patch("/api/tenant", json=patch) as answer:
        shown = await answer.text()
        assert answer.status == 200
    assert "new@contoso.example" in shown and "alice@contoso.example" not in shown
    assert not [
        s for s in ("relay-password", SECRET, "brand-new-word") if s in shown + str(await get(http, "/api/tenant"))
    ]
    assert running.tenant.mailboxes["relay@contoso.example"].password == "relay-password"
    assert running.directory.smtp_authentication_blocked_by("relay@contoso.example") == "Tenant"


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        ({"switches": {"colour": True}}, "colour"),
        ({"limits": {"messages_per_minute": 0}}, "messages_per_minute"),
        ({"mailboxes": {"a@elsewhere.example": {}}}, "a@elsewhere.example"),
        ({"mailboxes": {"bob@contoso.example": {"send_as": ["nobody@contoso.example"]}}}, "nobody@contoso.example"),
        ({"domains": None}, "domains"),
        ([], "object"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(
    running: Emulator, http: aiohttp.ClientSession, patch: object, word: str
) -> None:
    before = running.tenant
    async with http.patch("/api/tenant", json=patch) as answer:
        assert answer.status == 400 and word in (await answer.json())["error"]
    assert running.tenant is before


async def test_orders_are_carried_out(running: Emulator, http: aiohttp.ClientSession) -> None:
    async def order(status: int = 200, **fields: object) -> Any:
        async with http.post("/api/control", json=fields) as answer:
            assert answer.status == status
            return await answer.json()

    assert await order(action="fault", stage="mail", reply="451 4.3.0 Not now") == {"done": True}
    talk = logged_on(running)
    assert talk.say("MAIL FROM:<relay@contoso.example>") == "451 4.3.0 Not now"
    await order(action="fault", stage="mail", reply="451 4.3.0 Not now")
    await order(action="clear-faults")
    assert talk.submit().startswith("250 ")
    assert (await get(http, "/api/statistics"))["accepted"] == 1
    await order(action="reset-counters")
    assert (await get(http, "/api/statistics"))["accepted"] == 0
    assert await order(action="close-connections") == {"closed": 0}
    assert "action" in (await order(400, action="explode"))["error"]
    assert "three digits" in (await order(400, action="fault", stage="mail", reply="250 fine"))["error"]


async def test_a_foreign_web_page_cannot_give_orders(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/control", data='{"action": "clear-faults"}') as answer:
        assert answer.status == 415


async def test_the_oldest_messages_go_when_there_are_too_many(running: Emulator) -> None:
    running.control.patch({"limits": {"stored_messages": 3, "messages_per_minute": 1000}})
    for number in range(5):
        logged_on(running).submit(b"Subject: %d\r\n\r\n" % number)
    assert [record.subject for record in running.store.messages()] == ["4", "3", "2"]
    assert len(list(running.store.directory.glob("m-*.eml"))) == 3


async def test_a_long_session_s_transcript_is_bounded(running: Emulator) -> None:
    talk = Talk(running)
    for _ in range(2_000):
        talk.say("NOOP")
    lines = talk.session.transcript.lines()
    assert len(lines) == 401 and "-- 3601 lines left out" in lines
    assert CLIENT_ID not in lines


async def test_counts_follow_what_comes_is_removed_and_survives(running: Emulator) -> None:
    running.control.patch({"limits": {"stored_messages": 3, "messages_per_minute": 1000}})
    for _ in range(5):
        logged_on(running).submit(recipients=("alice@contoso.example", "x@example.net"))
    newest = running.store.messages()[0]
    running.store.remove_from(newest.id, "alice@contoso.example")
    running.store.remove_from(newest.id, "alice@contoso.example")
    expected = {"alice@contoso.example": 2, "external": 3, "relay@contoso.example/sent": 3}
    assert {name: n for name, n in running.store.count().items() if n} == expected
    again = MessageStore(running.store.directory)
    assert {name: n for name, n in again.count().items() if n} == expected
    again.clear()
    assert not +again.count()
