"""Graph under strain: throttling, faults on order, batches, the message trace, credentials that end."""

import asyncio
import base64
import gzip
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.emulator.graph_client import RELAY, GraphClient, code, to
from tests.emulator.talk import CLIENT_ID, NOON

from m365emu.clock import ManualClock
from m365emu.faults import Fault

USER = f"/users/{RELAY}"
TRACES = "/admin/exchange/tracing/messageTraces"
APPLICATION = f"/applications(appId='{CLIENT_ID}')"


class SlowBody:
    """Bodies that stop half-way until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self) -> Any:
        yield b'{"message": '
        await self.go.wait()
        yield b'{"toRecipients": [{"emailAddress": {"address": "alice@contoso.example"}}]}}'


async def test_a_fifth_request_at_once_for_one_mailbox_is_throttled(graph: GraphClient) -> None:
    body = SlowBody()
    path = f"{USER}/sendMail"
    slow = [
        asyncio.create_task(graph.ask("POST", path, data=body(), Content_Type="application/json")) for _ in range(4)
    ]
    while graph.emulator.control.parts.graph.throttle.most[RELAY] < 4:
        await asyncio.sleep(0.001)
    status, answer, headers = await graph.send()
    assert (status, code(answer)) == (429, "ApplicationThrottled")
    assert answer["error"]["message"] == "Application is over its MailboxConcurrency limit."
    assert headers["Retry-After"] == "1" and headers["RateLimit-Exceeded"] == "MailboxConcurrency"
    assert (await graph.send(user="bob@contoso.example"))[0] == 202
    body.go.set()
    assert [status for status, _, _ in await asyncio.gather(*slow)] == [202] * 4
    assert (await graph.send())[0] == 202


async def test_a_client_that_goes_away_in_the_middle_gives_its_place_back(graph: GraphClient) -> None:
    throttle = graph.emulator.control.parts.graph.throttle
    for _ in range(6):
        throttle.most.clear()
        path = f"{USER}/sendMail"
        slow = asyncio.create_task(graph.ask("POST", path, data=SlowBody()(), Content_Type="application/json"))
        while throttle.most[RELAY] < 1:
            await asyncio.sleep(0.001)
        slow.cancel()
        await asyncio.wait([slow])
        while throttle.under_way(RELAY):
            await asyncio.sleep(0.001)
    assert (await graph.send())[0] == 202


async def test_a_body_that_is_compressed_is_read_within_the_limit_and_a_broken_one_refused(graph: GraphClient) -> None:
    path = f"{USER}/sendMail"
    body = b'{"message": {"toRecipients": [{"emailAddress": {"address": "alice@contoso.example"}}]}}'
    for data, status in ((gzip.compress(body), 202), (gzip.compress(b" " * 50_000_000), 413), (b"no gzip", 400)):
        got = await graph.ask("POST", path, data=data, Content_Type="application/json", Content_Encoding="gzip")
        assert got[0] == status, got


async def test_requests_in_ten_minutes_are_counted_by_mailbox_and_the_wait_is_told(
    graph: GraphClient, clock: ManualClock
) -> None:
    graph.emulator.control.patch({"limits": {"graph_requests_per_10_minutes": 2}})
    assert (await graph.send())[0] == 202
    clock.advance(timedelta(minutes=4))
    assert (await graph.send())[0] == 202
    status, body, headers = await graph.send()
    assert (status, code(body), headers["Retry-After"]) == (429, "TooManyRequests", "360")
    assert (await graph.send(user="bob@contoso.example"))[0] == 202
    clock.advance(timedelta(minutes=6))
    assert (await graph.send())[0] == 202
    assert (await graph.send())[0] == 429
    graph.emulator.control.reset_counters()
    assert (await graph.send())[0] == 202


async def test_octets_in_five_minutes_are_counted(graph: GraphClient, clock: ManualClock) -> None:
    graph.emulator.control.patch({"limits": {"graph_upload_octets_per_5_minutes": 3_000}})
    assert (await graph.send(body={"content": "x" * 2_000}))[0] == 202
    assert (await graph.send(body={"content": "x" * 2_000}))[0] == 429
    clock.advance(timedelta(minutes=5))
    assert (await graph.send(body={"content": "x" * 2_000}))[0] == 202


@pytest.mark.parametrize(
    ("reply", "status", "wanted"),
    [
        ("503 Service Unavailable", 503, "ErrorServerBusy"),
        ("429 Too Many Requests", 429, "TooManyRequests"),
        ("504 Gateway Timeout", 504, "UnknownError"),
    ],
)
async def test_a_fault_on_order_strikes_requests_that_send(
    graph: GraphClient, reply: str, status: int, wanted: str
) -> None:
    graph.emulator.faults.order(Fault(stage="graph-send", reply=reply, retry_after_seconds=7, mailbox=RELAY))
    assert (await graph.ask("GET", f"{USER}/messages"))[0] == 200
    assert (await graph.send(user="bob@contoso.example"))[0] == 202
    got, body, headers = await graph.send()
    assert (got, code(body), headers["Retry-After"]) == (status, wanted, "7")
    assert len(graph.emulator.store.messages("alice@contoso.example")) == 1
    assert (await graph.send())[0] == 202


async def test_a_504_may_have_sent_the_message_all_the_same(graph: GraphClient) -> None:
    graph.emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", keep=True))
    assert (await graph.send())[0] == 504
    assert len(graph.emulator.store.messages("alice@contoso.example")) == 1
    assert len((await graph.get(f"{USER}/mailFolders/sentitems/messages"))["value"]) == 1


async def test_a_connection_may_be_cut_before_and_after_the_message_was_sent(graph: GraphClient) -> None:
    for keep in (False, True):
        graph.emulator.faults.order(Fault(stage="graph-send", keep=keep))
        with pytest.raises(aiohttp.ClientError):
            await graph.send()
        assert len(graph.emulator.store.messages("alice@contoso.example")) == int(keep)


async def test_reading_can_be_out_of_order_and_all_of_graph_too(graph: GraphClient) -> None:
    graph.emulator.faults.order(Fault(stage="graph-read", reply="500 Broken"))
    assert (await graph.send())[0] == 202
    assert (await graph.ask("GET", f"{USER}/messages"))[0] == 500
    graph.emulator.faults.order(Fault(stage="graph", reply="503 Closed", count=2))
    assert (await graph.send())[0] == 503
    assert (await graph.ask("GET", TRACES))[0] == 503
    assert (await graph.ask("GET", TRACES))[0] == 200


async def test_a_message_that_is_refused_is_not_sent_by_a_fault_that_keeps(graph: GraphClient) -> None:
    graph.emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", keep=True))
    status, body, _ = await graph.send(toRecipients=[])
    assert (status, code(body)) == (400, "ErrorInvalidRecipients")


async def test_a_batch_answers_each_request_for_itself(graph: GraphClient) -> None:
    message = {"message": {"subject": "in a batch", "toRecipients": [to("alice@contoso.example")]}}
    mime = base64.b64encode(f"From: {RELAY}\nTo: bob@contoso.example\n\nHi\n".encode()).decode()
    json_type, text_type = {"Content-Type": "application/json"}, {"content-type": "text/plain"}
    requests = [
        {"id": "1", "method": "POST", "url": f"{USER}/sendMail", "headers": json_type, "body": message},
        {"id": "2", "method": "POST", "url": f"{USER}/sendMail", "headers": text_type, "body": mime},
        {"id": "3", "method": "GET", "url": "/users/nobody@contoso.example/messages"},
        {"id": "4", "method": "GET", "url": f"{USER}/messages?$select=subject&$top=1", "dependsOn": ["1"]},
        {"id": "5", "method": "GET", "url": f"{USER}/messages", "dependsOn": ["3"]},
    ]
    status, body, _ = await graph.ask("POST", "/$batch", {"requests": requests})
    assert status == 200
    responses = {response["id"]: response for response in body["responses"]}
    assert [responses[str(n)]["status"] for n in range(1, 6)] == [202, 202, 404, 200, 424]
    assert responses["4"]["body"]["value"][0]["subject"] in ("in a batch", "")
    assert code(responses["3"]["body"]) == "ErrorInvalidUser"
    assert len(graph.emulator.store.messages("bob@contoso.example")) == 1


async def test_a_batch_is_throttled_inside_and_not_as_a_whole(graph: GraphClient) -> None:
    graph.emulator.control.patch({"limits": {"graph_requests_per_10_minutes": 2}})
    requests = [{"id": str(n), "method": "GET", "url": f"{USER}/messages"} for n in range(4)]
    status, body, _ = await graph.ask("POST", "/$batch", {"requests": requests})
    assert status == 200 and [response["status"] for response in body["responses"]] == [200, 200, 429, 429]
    assert body["responses"][3]["headers"]["Retry-After"] == "600"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": 1},
        {"requests": [{"id": "1"}]},
        {"requests": [{"id": str(n), "method": "GET", "url": "/me"} for n in range(21)]},
        {"requests": [{"id": "1", "method": "GET", "url": "/organization"}] * 2},
    ],
)
async def test_what_is_no_batch_is_refused(graph: GraphClient, body: Any) -> None:
    status, answer, _ = await graph.ask("POST", "/$batch", body)
    assert (status, code(answer)) == (400, "BadRequest")
    assert (await graph.ask("POST", "/$batch", body, Authorization=""))[0] == 401


async def test_a_batch_within_a_batch_is_not_there(graph: GraphClient) -> None:
    requests = [{"id": "1", "method": "POST", "url": "/$batch", "body": {"requests": []}}]
    _, body, _ = await graph.ask("POST", "/$batch", {"requests": requests})
    assert body["responses"][0]["status"] == 400


async def traces(graph: GraphClient, text: str = "", **options: str) -> list[dict[str, Any]]:
    query = "&".join(
        f"${name}={quote(value)}" for name, value in {**({"filter": text} if text else {}), **options}.items()
    )
    found: list[dict[str, Any]] = (await graph.get(f"{TRACES}?{query}"))["value"]
    return found


async def test_the_trace_shows_a_row_for_each_recipient_after_a_while(graph: GraphClient, clock: ManualClock) -> None:
    await graph.send(toRecipients=[to("alice@contoso.example"), to("nobody@contoso.example"), to("x@out.example")])
    assert await traces(graph) == []
    clock.advance(timedelta(minutes=5))
    rows = {row["recipientAddress"]: row for row in await traces(graph) if row["senderAddress"]}
    assert {address: row["status"] for address, row in rows.items()} == {
        "alice@contoso.example": "delivered",
        "nobody@contoso.example": "failed",
        "x@out.example": "delivered",
    }
    row = rows["alice@contoso.example"]
    assert set(row) == {
        *("id", "senderAddress", "recipientAddress", "messageId", "receivedDateTime", "subject", "size", "fromIP"),
        *("toIP", "status"),
    }
    assert row["senderAddress"] == RELAY and row["subject"] == "Hello" and row["size"] > 0
    assert len(await traces(graph, f"messageId eq '{row['messageId']}' and status eq 'Failed'")) == 1
    assert len(await traces(graph, "recipientAddress eq 'x@out.example' and startsWith(subject,'Hel')")) == 1
    details = await graph.get(f"{TRACES}/{row['id']}/getDetailsByRecipient(recipientAddress='alice@contoso.example')")
    assert [event["event"] for event in details["value"]] == ["Receive", "Deliver"]
    assert (await graph.get(f"{TRACES}/{row['id']}/getDetailsByRecipient(recipientAddress='no@body.example')"))[
        "value"
    ] == []


async def test_the_trace_is_cut_into_pages(graph: GraphClient, clock: ManualClock) -> None:
    await graph.send(toRecipients=[to(f"r{n}@outside.example") for n in range(5)])
    clock.advance(timedelta(minutes=5))
    path, found = f"{TRACES}?$top=2", 0
    while path:
        body = await graph.get(path)
        assert len(body["value"]) <= 2
        found += len(body["value"])
        path = body.get("@odata.nextLink", "")
    assert found == 5
    assert (await graph.ask("GET", f"{TRACES}?$top=5001"))[0] == 400


async def test_the_trace_spans_two_days_unless_told_and_ten_at_most(graph: GraphClient, clock: ManualClock) -> None:
    await graph.send()
    clock.advance(timedelta(days=5))
    graph.token = graph.app_token()
    assert await traces(graph) == []
    assert (
        len(
            await traces(graph, "receivedDateTime ge 2025-11-23T00:00:00Z and receivedDateTime le 2025-11-24T00:00:00Z")
        )
        == 1
    )
    for text in (
        "receivedDateTime ge 2025-11-10T00:00:00Z",
        "receivedDateTime ge 2025-01-01T00:00:00Z and receivedDateTime le 2025-01-02T00:00:00Z",
    ):
        assert (await graph.ask("GET", f"{TRACES}?$filter={quote(text)}"))[0] == 400
    clock.advance(timedelta(days=90))
    graph.token = graph.app_token()
    assert await traces(graph) == []


async def test_the_trace_needs_its_permission_and_is_throttled(graph: GraphClient, clock: ManualClock) -> None:
    graph.emulator.control.patch({"limits": {"trace_requests_per_5_minutes": 3}})
    for _ in range(3):
        await traces(graph)
    status, _, headers = await graph.ask("GET", TRACES)
    assert status == 429 and headers["Retry-After"] == "300"
    clock.advance(timedelta(minutes=5))
    await traces(graph)
    graph.token = graph.app_token(("Mail.ReadWrite",))
    status, body, _ = await graph.ask("GET", TRACES)
    assert (status, code(body)) == (403, "Authorization_RequestDenied")


async def test_a_row_of_smtp_submission_stands_in_the_trace_too(graph: GraphClient, clock: ManualClock) -> None:
    from tests.emulator.talk import logged_on

    logged_on(graph.emulator).submit()
    clock.advance(timedelta(minutes=5))
    (row,) = await traces(graph)
    assert row["fromIP"] == "192.0.2.7" and row["messageId"] == "<m@example>"


def certificate(days: int = 30) -> tuple[str, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOON - timedelta(days=1))
        .not_valid_after(NOON + timedelta(days=days))
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode(), key


def proof(key: rsa.RSAPrivateKey, issuer: str, **changes: Any) -> str:
    begins = int(NOON.timestamp())
    claims = {"aud": "00000002-0000-0000-c000-000000000000", "iss": issuer, "nbf": begins, "exp": begins + 600}
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return jwt.encode({"alg": "RS256"}, {**claims, **changes}, RSAKey.import_key(pem))


def as_der(pem: str) -> str:
    return base64.b64encode(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)).decode()


async def test_an_application_reads_when_its_credentials_end_and_never_the_credentials(graph: GraphClient) -> None:
    pem, _ = certificate()
    ends = datetime(2026, 1, 1, tzinfo=UTC)
    graph.emulator.control.patch(
        {
            "applications": {
                CLIENT_ID: {
                    "secrets": [{"value": "very-secret-words", "expires": ends.isoformat()}],
                    "certificates": [{"pem": pem}],
                }
            }
        }
    )
    graph.token = graph.app_token(())
    body = await graph.get(f"{APPLICATION}?$select=passwordCredentials,keyCredentials")
    assert set(body) == {"@odata.context", "passwordCredentials", "keyCredentials"}
    (password,), (key,) = body["passwordCredentials"], body["keyCredentials"]
    assert password["endDateTime"] == "2026-01-01T00:00:00Z" and password["secretText"] is None
    assert key["endDateTime"] == "2025-12-23T12:00:00Z" and key["displayName"] == "CN=relay"
    assert "very-secret-words" not in str(body)
    graph.emulator.control.patch({"assumptions": {"graph_own_application": False}})
    assert (await graph.ask("GET", APPLICATION))[0] == 403
    graph.token = graph.app_token(("Application.Read.All",))
    assert (await graph.get(APPLICATION))["appId"] == CLIENT_ID
    assert (await graph.ask("GET", "/applications(appId='00000000-0000-0000-0000-000000000000')"))[0] == 404


async def test_an_application_replaces_its_own_certificate_with_a_proof_by_the_old_one(graph: GraphClient) -> None:
    old_pem, old_key = certificate()
    new_pem, new_key = certificate(days=90)
    graph.emulator.control.patch({"applications": {CLIENT_ID: {"certificates": [{"pem": old_pem}]}}})
    shown = await graph.get(APPLICATION)
    issuer, old_id = shown["id"], shown["keyCredentials"][0]["keyId"]
    graph.token = graph.app_token(())
    credential = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": as_der(new_pem)}
    for bad in (
        "x",
        proof(new_key, issuer),
        proof(old_key, "other"),
        proof(old_key, issuer, aud="other"),
        proof(old_key, issuer, exp=int(NOON.timestamp()) + 3_600),
        proof(old_key, issuer, exp=int(NOON.timestamp())),
    ):
        body = {"keyCredential": credential, "passwordCredential": None, "proof": bad}
        assert (await graph.ask("POST", f"{APPLICATION}/addKey", body))[0] == 403
    body = {"keyCredential": credential, "passwordCredential": None, "proof": proof(old_key, issuer)}
    status, added, _ = await graph.ask("POST", f"{APPLICATION}/addKey", body)
    assert status == 200 and added["endDateTime"] == "2026-02-21T12:00:00Z"
    body = {"keyId": old_id, "proof": proof(new_key, issuer)}
    assert (await graph.ask("POST", f"/applications/{issuer}/removeKey", body))[0] == 204
    (kept,) = graph.emulator.tenant.applications[CLIENT_ID].certificates
    assert as_der(kept.pem) == as_der(new_pem)
    assert (await graph.ask("POST", f"{APPLICATION}/removeKey", body))[0] == 400
