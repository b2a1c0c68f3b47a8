"""Sending by Graph, against a server that the test tells what to answer."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.deliver.graph_stub import MAILBOX, PLANTED, Stub, accept, hang_up, refuse
from tests.unit.deliver.jobs import message
from tests.unit.net.authority import Authority

from posthouse.deliver.classify import may_try_elsewhere
from posthouse.deliver.patience import Patience
from posthouse.mail.message import Message, SpooledContent, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Failed, Outcome, Scope, Unknown

CONTENT = (
    b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nCc: eve@elsewhere.example\r\n"
    b"Message-ID: <1@contoso.example>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nSubject: scan\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BCn\r\n"
)


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Stub]:
    stub = Stub(tmp_path)
    await stub.start()
    yield stub
    await stub.stop()


async def carry(stub: Stub, letter: Message | None = None, **settings: object) -> list[AttemptResult]:
    letter = letter or message(("alice@contoso.example", "bob@contoso.example"), CONTENT)
    waiting = [Waiting(index, recipient) for index, recipient in enumerate(letter.envelope.recipients)]
    carrier = stub.carrier(**settings)
    results = await carrier.carry(letter, waiting, asyncio.get_running_loop().time() + 60, MAILBOX)
    carrier.close()
    return [results[w.index] for w in waiting]


async def outcome(stub: Stub, **settings: object) -> Outcome:
    return (await carry(stub, None, **settings))[0].outcome


async def test_a_message_goes_as_mime_to_the_envelope_and_to_nobody_else(graph: Stub) -> None:
    results = await carry(graph)
    assert [type(r.outcome) for r in results] == [Delivered, Delivered]
    (seen,) = graph.seen
    assert (seen.method, seen.path) == ("POST", f"/v1.0/users/{MAILBOX}/sendMail")
    assert seen.headers["Content-Type"] == "text/plain"
    assert seen.headers["Authorization"] == "Bearer token-1"
    sent = message_from_bytes(seen.mime, policy=policy.default)
    assert (sent["To"], sent["Bcc"], sent["Cc"]) == ("alice@contoso.example", "bob@contoso.example", None)
    assert sent["X-Original-Cc"] == "eve@elsewhere.example"
    assert sent["Message-ID"] == "<1@contoso.example>"
    assert sent["Date"] == "Sat, 21 Nov 2026 12:00:00 +0000"
    assert sent.get_content().strip() == "grün" and sent["Content-Transfer-Encoding"] == "base64"


async def test_the_trace_says_how_it_went(graph: Stub) -> None:
    (result, _) = await carry(graph)
    assert isinstance(result.outcome, Delivered)
    assert str(result.outcome.reply) == "250 2.0.0 Graph 202 Accepted request-id=r-1"
    assert result.detail["form"] == "mime" and result.detail["mailbox"] == MAILBOX
    assert result.detail["client_request_id"] == graph.seen[0].headers["client-request-id"]
    assert str(result.detail["client_request_id"]).startswith("00000000-0000-0001-")
    assert result.remote.startswith("127.0.0.1:")


async def test_throttling_lets_the_mailbox_rest_for_as_long_as_graph_asks(graph: Stub) -> None:
    for status, code in ((429, "ApplicationThrottled"), (503, "ErrorServerBusy")):
        graph.answers = [refuse(status, code, "Slow down.", Retry_After="17")]
        found = await outcome(graph)
        assert isinstance(found, Deferred)
        assert (found.scope, found.retry_after) == (Scope.MAILBOX, timedelta(seconds=17))
        assert found.reply is not None and found.reply.is_transient
        assert f"Graph {status} {code}: Slow down." in found.reply.text


async def test_a_gateway_that_lost_the_answer_leaves_the_outcome_unknown(graph: Stub) -> None:
    graph.answers = [refuse(504, "UnknownError")]
    found = await outcome(graph)
    assert isinstance(found, Unknown) and found.verify and found.mailbox == MAILBOX
    assert not may_try_elsewhere(found)


async def test_a_connection_lost_after_the_request_leaves_the_outcome_unknown(graph: Stub) -> None:
    graph.answers = [hang_up]
    for setting in ("verify", "hold", "retry"):
        found = await outcome(graph, on_unknown=setting)
        assert isinstance(found, Unknown)
        assert (found.verify, found.retry) == (setting == "verify", setting == "retry")


async def test_a_server_that_cannot_be_reached_is_a_glitch(graph: Stub) -> None:
    await graph.stop()
    found = await outcome(graph)
    assert isinstance(found, Deferred) and found.is_glitch
    assert may_try_elsewhere(found)


async def test_a_certificate_that_is_not_trusted_is_no_delivery(graph: Stub, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    graph.ca = Authority(tmp_path / "others").file
    found = await outcome(graph)
    assert isinstance(found, Deferred) and "certificate" in found.reason.lower()
    assert not graph.seen


async def test_a_refused_token_is_asked_for_anew_once(graph: Stub) -> None:
    graph.answers = [refuse(401, "InvalidAuthenticationToken", "Expired."), graph.answers[0]]
    assert isinstance(await outcome(graph), Delivered)
    assert [s.headers["Authorization"] for s in graph.seen] == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_that_is_refused_again_lets_the_mailbox_rest(graph: Stub) -> None:
    graph.answers = [refuse(401, "InvalidAuthenticationToken", "Access token validation failure.")]
    found = await outcome(graph)
    assert isinstance(found, Deferred) and found.scope is Scope.MAILBOX
    assert len(graph.seen) == 2


@pytest.mark.parametrize(
    ("status", "code", "kind", "scope"),
    [
        (403, "ErrorSendAsDenied", Deferred, Scope.MESSAGE),
        (403, "ErrorAccessDenied", Deferred, Scope.MAILBOX),
        (403, "SomethingNew", Deferred, Scope.MAILBOX),
        (404, "ErrorInvalidUser", Deferred, Scope.MAILBOX),
        (400, "ErrorMessageSizeExceeded", Failed, None),
        (400, "ErrorMimeContentInvalidBase64String", Failed, None),
        (400, "SomethingNew", Deferred, Scope.MESSAGE),
        (500, "ErrorInternalServerError", Deferred, Scope.MAILBOX),
        (500, "", Deferred, Scope.MESSAGE),
        (403, "UnknownError", Deferred, Scope.MAILBOX),
        (503, "UnknownError", Deferred, Scope.MAILBOX),
        (413, "", Failed, None),
    ],
)
async def test_refusals_mean_what_the_catalogue_says(
    graph: Stub, status: int, code: str, kind: type, scope: Scope | None
) -> None:
    graph.answers = [refuse(status, code, "Words.")]
    found = await outcome(graph)
    assert isinstance(found, kind), found
    assert getattr(found, "scope", None) is scope
    assert found.reply is not None and (not code or code in found.reply.text)  # type: ignore[union-attr]


async def test_one_bad_recipient_does_not_hurt_the_others(graph: Stub) -> None:
    words = "At least one recipient is not valid., Recipient 'bob@contoso.example' is not resolved."
    graph.answers = [refuse(400, "ErrorInvalidRecipients", words)]
    alice, bob = await carry(graph)
    assert isinstance(bob.outcome, Failed) and bob.outcome.status == "5.1.3"
    assert isinstance(alice.outcome, Deferred) and alice.outcome.is_glitch


async def test_many_recipients_go_in_several_requests(graph: Stub) -> None:
    letter = message([f"u{n}@contoso.example" for n in range(7)], CONTENT)
    results = await carry(graph, letter, recipients_per_message=3)
    assert all(isinstance(r.outcome, Delivered) for r in results)
    assert len(graph.seen) == 3
    assert len({s.headers["client-request-id"] for s in graph.seen}) == 3


async def test_without_a_copy_the_message_goes_as_json(graph: Stub) -> None:
    (result, _) = await carry(graph, save_to_sent_items=False)
    assert isinstance(result.outcome, Delivered) and result.detail["form"] == "json"
    sent = json.loads(graph.seen[0].body)
    assert sent["saveToSentItems"] is False
    written = sent["message"]
    assert written["subject"] == "scan" and written["body"] == {"contentType": "text", "content": "grün\r\n"}
    assert written["toRecipients"] == [{"emailAddress": {"address": "alice@contoso.example"}}]
    assert written["bccRecipients"] == [{"emailAddress": {"address": "bob@contoso.example"}}]
    assert "ccRecipients" not in written
    assert written["internetMessageHeaders"] == [{"name": "x-original-cc", "value": "eve@elsewhere.example"}]


async def test_what_json_cannot_say_goes_as_mime_and_the_trace_says_so(graph: Stub) -> None:
    letter = message(("alice@contoso.example",), b"In-Reply-To: <0@x.example>\r\n" + CONTENT)
    (result,) = await carry(graph, letter, save_to_sent_items=False)
    assert result.detail["form"] == "mime"
    assert "in-reply-to" in str(result.detail["copy_kept"])


async def test_no_token_is_no_delivery_and_no_secret_is_shown(graph: Stub) -> None:
    graph.refuses_tokens = True
    (result, _) = await carry(graph)
    found = result.outcome
    assert isinstance(found, Deferred) and found.scope is Scope.MAILBOX and found.needs_operator
    assert "AADSTS7000215" in found.reason
    assert PLANTED not in repr(result)
    assert not graph.seen


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5), ("  0 ", 0), ("999999999", 86400), ("soon", None), ("-1", None), ("Sat, 21 Nov 2026 12:00:30 GMT", 30)],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str, seconds: int | None) -> None:
    from tests.unit.deliver.jobs import NOW

    from posthouse.deliver.graph.client import read_retry_after

    found = read_retry_after(value, NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


async def test_a_large_message_streams_from_the_spool(graph: Stub, tmp_path: Path) -> None:
    """What stands in memory does not grow with the message: 27 MB pass in pieces, and their number changes nothing."""
    line = base64.b64encode(b"x" * 57) + b"\r\n"
    path, head = tmp_path / "spooled", b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    with path.open("wb") as file:
        file.write(head)
        for _ in range(350):
            file.write(line * 1000)
    size = path.stat().st_size
    content = SpooledContent(path=path, size_octets=size, sha256=b"", prefix=b"From: relay@contoso.example\r\n")
    arrived = 0

    async def keep_count(request: web.Request, body: bytes) -> web.Response:
        nonlocal arrived
        graph.seen.clear()
        if request.path.endswith("/messages"):
            return web.json_response({"id": "draft/1="}, status=201)
        if request.path.endswith("createUploadSession"):
            return web.json_response({"uploadUrl": f"{graph.base}/session?authtoken=secret"}, status=201)
        if request.method == "PUT":
            assert "Authorization" not in request.headers
            assert request.headers["Content-Range"].startswith(f"bytes {arrived}-")
            arrived += len(body)
            return web.json_response({}, status=200)
        assert request.path == f"/v1.0/users/{MAILBOX}/messages/draft/1=/send"
        return web.Response(status=202)

    graph.answers = [keep_count]
    tracemalloc.start()
    try:
        (result,) = await carry(graph, message(("alice@contoso.example",), content))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(result.outcome, Delivered), result
    assert arrived == 350 * 1000 * 57
    assert peak < 22_000_000


async def test_an_upload_that_breaks_takes_its_draft_away_and_is_no_delivery(graph: Stub) -> None:
    file = base64.encodebytes(b"y" * 4_000_000).replace(b"\n", b"\r\n")
    content = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + file

    async def break_off(request: web.Request, body: bytes) -> web.StreamResponse:
        if request.path.endswith("/messages"):
            return web.json_response({"id": "d1"}, status=201)
        if request.path.endswith("createUploadSession"):
            return web.json_response({"uploadUrl": f"{graph.base}/session?authtoken={PLANTED}"}, status=201)
        return await (hang_up if request.method == "PUT" else accept)(request, body)

    graph.answers = [break_off]
    (result,) = await carry(graph, message(("alice@contoso.example",), content))
    assert isinstance(result.outcome, Deferred) and result.outcome.is_glitch
    assert PLANTED not in repr(result)
    assert (graph.seen[-1].method, graph.seen[-1].path) == ("DELETE", f"/v1.0/users/{MAILBOX}/messages/d1")


async def test_what_cannot_be_taken_apart_may_go_another_way(graph: Stub) -> None:
    signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + b"x" * 3_100_000 + b"\r\n--b--\r\n"
    (result,) = await carry(graph, message(("alice@contoso.example",), signed))
    assert isinstance(result.outcome, Failed) and result.outcome.status == "5.3.4"
    assert may_try_elsewhere(result.outcome)
    assert not graph.seen


async def test_a_connection_lost_while_the_request_was_on_its_way_is_a_glitch(graph: Stub) -> None:
    graph.hangs_up_early = True
    letter = message(("alice@contoso.example",), CONTENT + b"x" * 2_900_000)
    (result,) = await carry(graph, letter)
    assert isinstance(result.outcome, Deferred) and result.outcome.is_glitch, result


async def test_a_server_that_never_answers_leaves_the_outcome_unknown(graph: Stub) -> None:
    async def wait(_: web.Request, __: bytes) -> web.Response:
        await asyncio.get_running_loop().create_future()
        return web.Response()

    graph.answers = [wait]
    assert isinstance(await outcome(graph), Unknown)


NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (202, NESTED, {}, Delivered),
        (400, NESTED, {}, Deferred),
        (400, b'{"error": [' + NESTED, {}, Deferred),
        (400, b'{"error": "' + b"x" * 3_000_000, {}, Deferred),
        (400, b'{"error": {"code": {"a": []}, "message": 7}}', {}, Deferred),
        (429, b"{}", {"Retry-After": "1 Jan 2020 99:99:99 +99999999999999999999"}, Deferred),
        (429, b"{}", {"Retry-After": "-1"}, Deferred),
        (429, b"{}", {"Retry-After": "9" * 5000}, Deferred),
        (302, b"", {"Location": "http://127.0.0.1/"}, Deferred),
    ],
)
async def test_an_answer_of_nonsense_is_a_result_like_others(
    graph: Stub, status: int, body: bytes, headers: dict[str, str], kind: type
) -> None:
    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    graph.answers = [answer]
    assert isinstance(await outcome(graph), kind)
    assert len(graph.seen) == 1


async def test_half_a_character_in_an_answer_does_not_reach_what_is_stored(graph: Stub) -> None:
    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.Response(status=400, body=b'{"error": {"code": "Error\\ud800", "message": "no\\udc00"}}')

    graph.answers = [answer]
    found = await outcome(graph)
    assert isinstance(found, Deferred)
    assert str(found.reply).encode() and "no?" in str(found.reply)


async def test_an_answer_that_never_ends_is_waited_for_no_longer_than_an_attempt(graph: Stub) -> None:
    async def trickle(request: web.Request, _: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=202)
        await response.prepare(request)
        while request.transport is not None:
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    graph.answers = [trickle]
    graph.patience = Patience(final=0.3, attempt=0.1)
    assert isinstance(await outcome(graph), Unknown)


async def test_a_stop_while_a_draft_is_sent_leaves_it_where_it_is(graph: Stub) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, _: bytes) -> web.Response:
        if request.path.endswith("/messages"):
            return web.json_response({"id": "d1"}, status=201)
        if request.path.endswith("/send"):
            asked.set()
            await asyncio.get_running_loop().create_future()
        return web.Response(status=201)

    graph.answers = [answer]
    file = base64.encodebytes(b"y" * 2_900_000).replace(b"\n", b"\r\n")
    content = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + file
    graph.patience = Patience()
    attempt = asyncio.create_task(carry(graph, message(("alice@contoso.example",), content)))
    await asked.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert [seen.method for seen in graph.seen if seen.method == "DELETE"] == []
