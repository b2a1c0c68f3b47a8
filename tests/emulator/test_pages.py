"""The pages and what they are made of: search, parts of messages, live events, forms that only our own pages send."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.emulator.talk import logged_on

from m365emu.emulator import Emulator
from m365emu.web.parsed import parse, part_content

LETTER = (
    b"From: =?utf-8?q?J=C3=BCrgen?= <relay@contoso.example>\r\nTo: alice@contoso.example\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <letter@example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n'
    b'--outer\r\nContent-Type: multipart/alternative; boundary="inner"\r\n\r\n'
    b"--inner\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nDie Rechnung f\xfcr Mai\r\n"
    b'--inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Invoice <img src="cid:logo"><img src=http://x/t></p>\r\n'
    b"--inner--\r\n"
    b"--outer\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\naW1n\r\n"
    b'--outer\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="../scan 1.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--outer--\r\n"
)


@pytest.fixture
async def http(running: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.inbox) as session:
        yield session


async def text(http: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    async with http.get(path) as answer:
        assert answer.status == status
        return await answer.text()


async def found(http: aiohttp.ClientSession, query: str) -> list[str]:
    async with http.get(f"/api/messages?{query}") as answer:
        assert answer.status == 200, await answer.text()
        return [record["subject"] for record in (await answer.json())["messages"]]


async def test_messages_are_found_by_subject_people_text_and_time(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    talk = logged_on(running)
    talk.submit(LETTER)
    running.control.carry_out(running.control.read(b'{"action": "advance", "hours": 1}'))
    talk = logged_on(running)
    talk.submit(b"From: relay@contoso.example\r\nSubject: Other\r\n\r\nNothing\r\n", recipients=("x@example.net",))
    since = (running.clock.now() - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert await found(http, "q=gr%C3%BC%C3%9Fe") == ["Grüße"]
    assert await found(http, "q=RECHNUNG+mai") == ["Grüße"]
    assert await found(http, "q=rechnung+nowhere") == []
    assert await found(http, "q=example.net") == ["Other"]
    assert await found(http, "from=j%C3%BCrgen") == ["Grüße"]
    assert await found(http, "to=EXAMPLE.net") == ["Other"]
    assert await found(http, "subject=other") == ["Other"]
    assert await found(http, "message_id=%3Cletter@example%3E") == ["Grüße"]
    assert await found(http, f"since={since}") == ["Other"]
    async with http.get("/api/messages?since=yesterday") as answer:
        assert answer.status == 400 and "since" in (await answer.json())["error"]
    page = await text(http, "/?q=rechnung")
    assert "Grüße" in page and ">Other<" not in page


async def test_a_request_can_wait_for_a_message_that_fits(running: Emulator, http: aiohttp.ClientSession) -> None:
    waiting = asyncio.create_task(found(http, "subject=gr%C3%BC%C3%9Fe&at_least=1&wait_seconds=30"))
    talk = logged_on(running)
    talk.submit()
    await text(http, "/")
    assert not waiting.done()
    talk.submit(LETTER)
    assert await waiting == ["Grüße"]


async def test_sent_items_are_a_folder_of_their_own(running: Emulator, http: aiohttp.ClientSession) -> None:
    logged_on(running).submit(LETTER)
    async with http.get("/api/mailboxes/relay@contoso.example/messages?folder=sent") as answer:
        assert (await answer.json())["total"] == 1
    async with http.get("/api/mailboxes/relay@contoso.example/messages") as answer:
        assert (await answer.json())["total"] == 0
    page = await text(http, "/mailboxes/relay@contoso.example?folder=sent")
    assert "relay@contoso.example: Sent Items" in page and "Grüße" in page
    await text(http, "/mailboxes/relay@contoso.example?folder=drafts", 400)


async def test_a_message_is_taken_apart(running: Emulator, http: aiohttp.ClientSession) -> None:
    logged_on(running).submit(LETTER)
    (record,) = running.store.messages("alice@contoso.example")
    parsed = json.loads(await text(http, f"/api/messages/{record.id}/parsed"))
    assert parsed["text"] == "Die Rechnung für Mai"
    assert "data:image/png;base64,aW1n" in parsed["html"]
    assert ["From", "Jürgen <relay@contoso.example>"] in parsed["headers"]
    (pdf,) = [part for part in parsed["parts"] if part["filename"]]
    assert (pdf["filename"], pdf["content_type"], pdf["size"]) == (".._scan 1.pdf", "application/pdf", 4)
    async with http.get(f"/api/messages/{record.id}/parts/{pdf['number']}") as answer:
        assert await answer.read() == b"%PDF"
        assert answer.headers["Content-Disposition"] == 'attachment; filename=".._scan 1.pdf"'
        assert answer.headers["Content-Type"] == "application/octet-stream"
    for wrong in ("99", "-1", "x"):
        await text(http, f"/api/messages/{record.id}/parts/{wrong}", 404)


async def test_the_page_of_a_message_shows_everything_and_loads_nothing(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit(LETTER)
    (record,) = running.store.messages("alice@contoso.example")
    page = await text(http, f"/messages/{record.id}")
    assert "Die Rechnung für Mai" in page and "<iframe sandbox" in page
    assert "scan 1.pdf" in page and "C: AUTH LOGIN ****" in page and "Jürgen" in page
    assert not re.search(r"""<[^>]+(?:src|href)=["']?(?:https?:)?//""", page)
    async with http.get(f"/messages/{record.id}/html") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "img-src data:" in policy and "http" not in policy


async def test_pages_carry_no_inline_style_that_the_policy_would_drop(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit(LETTER)
    for path in ("/", "/journal", "/state", "/fidelity"):
        page = await text(http, path)
        assert " style=" not in page and " onclick" not in page
        nonce = re.search(r'<style nonce="([^"]+)"', page)
        assert nonce is not None and page.count("<style nonce") == 1


async def test_the_state_page_moves_the_clock_by_a_form_of_its_own_only(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    page = await text(http, "/state")
    assert "relay@contoso.example" in page and "30" in page
    form = re.search(r'<input type="hidden" name="order" value="([^"]*hours[^"]*)">.*?name="key" value="([^"]+)"', page)
    assert form is not None
    order, key = form[1].replace("&quot;", '"'), form[2]
    before = running.clock.now()
    async with http.post("/orders", data={"order": order, "key": "guessed"}) as answer:
        assert answer.status == 403
    assert running.clock.now() - before < timedelta(minutes=30)
    async with http.post("/orders", data={"order": order, "back": "/state", "key": key}) as answer:
        assert answer.status == 200 and answer.url.path == "/state"
    assert running.clock.now() - before >= timedelta(hours=1)
    async with http.post(
        "/orders", data={"order": order, "back": "//evil.example/", "key": key}, allow_redirects=False
    ) as answer:
        assert answer.headers["Location"] == "/state"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:2580", 200),
        ("[::1]:2580", 200),
        ("localhost", 200),
        ("m365emu:2580", 200),
        ("inbox.internal", 200),
        ("rebound.attacker.com", 403),
        ("rebound.attacker.com:2580", 403),
    ],
)
async def test_a_public_name_that_points_here_is_refused(http: aiohttp.ClientSession, host: str, status: int) -> None:
    async with http.get("/api/mailboxes", headers={"Host": host}) as answer:
        assert answer.status == status


async def test_what_happens_can_be_followed(running: Emulator, http: aiohttp.ClientSession) -> None:
    async with http.get("/api/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert await stream.content.readline() == b": m365emu\n"
        logged_on(running).submit(LETTER)
        lines = [await stream.content.readline() for _ in range(3)]
    assert lines[1] == b"event: message\n"
    assert json.loads(lines[2].removeprefix(b"data: "))["subject"] == "Grüße"


async def test_stopping_does_not_wait_for_those_who_follow(running: Emulator, http: aiohttp.ClientSession) -> None:
    async with http.get("/api/events") as stream:
        await stream.content.readline()
        async with asyncio.timeout(20):
            await running.stop()
            assert (await stream.content.read()).strip() == b""


async def test_sessions_are_listed_with_the_reason_of_a_refusal(running: Emulator, http: aiohttp.ClientSession) -> None:
    host, _, port = running.submission.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"EHLO client.example\r\nMAIL FROM:<<script>@contoso.example>\r\nMAIL FROM:<a@b>\r\nQUIT\r\n")
    await reader.read()
    writer.close()
    page = await text(http, "/journal?refused=1")
    assert "Client not authenticated to send mail" in page and "<script>" not in page
    entry = await text(http, "/journal/1")
    assert "C: QUIT" in entry and "<script>@" not in entry
    await text(http, "/journal/99", 404)
    await text(http, "/journal/x", 404)


async def test_the_fidelity_page_says_how_sure_each_fact_is(http: aiohttp.ClientSession) -> None:
    page = await text(http, "/fidelity")
    assert "certain" in page and "Not emulated" in page


HOSTILE: list[bytes] = [
    b"",
    b"\r\n",
    b"\x00\xff" * 500,
    b"Content-Type: multipart/mixed\r\n\r\nno boundary",
    b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff",
    b"Content-Transfer-Encoding: base64\r\n\r\n!!!!",
    b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody",
    b"Content-Disposition: attachment; filename*=utf-8''%ff%00; filename*0*=x\r\n\r\n",
    b"Subject: =?utf-8?b?!!!?= =?x?q?y?=\r\nFrom: =?utf-8?q?=00?=\r\n\r\n",
    b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(400)),
    b"Content-Type: text/html\r\n\r\n" + b"cid:" * 5_000 + b"<" * 5_000,
]


@pytest.mark.parametrize("octets", HOSTILE)
def test_hostile_messages_are_taken_apart_as_far_as_they_can(octets: bytes) -> None:
    parsed = parse(octets)
    for part in parsed.parts:
        assert part_content(octets, part.number) is not None
        assert not re.search(r"[/\\\x00-\x1f]", part.filename)
    json.dumps([parsed.headers, parsed.text, parsed.html])


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([b"Content-Type: ", b"Subject: ", b"Content-Disposition: ", b""]))
def test_no_octets_make_taking_apart_fail(octets: bytes, field: bytes) -> None:
    parsed: Any = parse(field + octets)
    assert all(part_content(field + octets, part.number) is not None for part in parsed.parts)


async def test_a_hostile_message_does_not_break_its_page(running: Emulator, http: aiohttp.ClientSession) -> None:
    running.control.patch({"limits": {"messages_per_minute": 1000}})
    for octets in HOSTILE:
        logged_on(running).submit(b"From: relay@contoso.example\r\n" + octets + b"\r\n")
    for record in running.store.messages("alice@contoso.example"):
        await text(http, f"/messages/{record.id}")
        await text(http, f"/messages/{record.id}/html")
    assert len(running.store.messages("alice@contoso.example")) >= 6
