"""Who gets in at Graph: tokens, permissions, scoped roles, and the form of a refusal."""

import inspect
import uuid
from datetime import timedelta
from typing import Any

import pytest
from tests.emulator.graph_client import RELAY, GraphClient, code, to
from tests.emulator.talk import CLIENT_ID, TENANT_ID, make_token

from m365emu.clock import ManualClock
from m365emu.fidelity import read_fidelity
from m365emu.graph import errors

MESSAGES = f"/users/{RELAY}/messages"


async def test_a_refusal_has_graphs_form_and_names_the_request(graph: GraphClient) -> None:
    wanted = str(uuid.uuid4())
    status, body, headers = await graph.ask("GET", MESSAGES, Authorization="", client_request_id=wanted)
    assert status == 401 and set(body) == {"error"}
    error = body["error"]
    assert error["code"] == "InvalidAuthenticationToken" and error["message"] == "Access token is empty."
    assert error["innerError"] == {
        "date": "2025-11-23T12:00:00",
        "request-id": headers["request-id"],
        "client-request-id": wanted,
    }
    assert headers["client-request-id"] == wanted and headers["WWW-Authenticate"].startswith("Bearer ")


async def test_a_token_that_is_garbage_is_refused(graph: GraphClient) -> None:
    for token in ("x", "a.b.c", "a.b.c.d", "é", "." * 100, graph.token[:-4] + "AAAA", "x" * 100_000):
        if len(token) > 8_000 or not token.isascii():
            continue
        status, body, _ = await graph.ask("GET", MESSAGES, Authorization=f"Bearer {token}")
        assert (status, code(body)) == (401, "InvalidAuthenticationToken"), token


async def test_a_token_ends_and_then_it_is_refused_with_the_services_words(
    graph: GraphClient, clock: ManualClock
) -> None:
    assert (await graph.ask("GET", MESSAGES))[0] == 200
    clock.advance(timedelta(hours=1))
    status, body, _ = await graph.ask("GET", MESSAGES)
    assert status == 401 and body["error"]["message"] == "Lifetime validation failed, the token is expired."


async def test_a_token_for_smtp_is_for_another_audience(graph: GraphClient) -> None:
    graph.token = make_token(graph.emulator)
    status, body, _ = await graph.ask("GET", MESSAGES)
    assert status == 401 and body["error"]["message"] == "Access token validation failure. Invalid audience."


async def test_a_revoked_token_and_one_of_an_application_that_is_gone_are_refused(graph: GraphClient) -> None:
    old, graph.token = graph.token, graph.app_token()
    graph.emulator.tokens.rotate()
    assert (await graph.ask("GET", MESSAGES))[0] == 401
    graph.token = graph.app_token()
    assert (await graph.ask("GET", MESSAGES))[0] == 200
    graph.emulator.control.patch({"applications": {CLIENT_ID: None}, "mailboxes": _without_holders()})
    assert (await graph.ask("GET", MESSAGES))[0] == 401
    assert old


def _without_holders() -> dict[str, Any]:
    return {
        RELAY: {"full_access": None},
        "shared@contoso.example": {"full_access": None},
        "printer@contoso.example": {"send_as": ["relay@contoso.example"]},
    }


@pytest.mark.parametrize(
    ("roles", "reads", "writes", "sends"),
    [
        (("Mail.Send",), 403, 403, 202),
        (("Mail.Read",), 200, 403, 403),
        (("Mail.ReadBasic.All",), 200, 403, 403),
        (("Mail.ReadWrite",), 200, 201, 403),
        (("SMTP.SendAsApp",), 403, 403, 403),
        ((), 403, 403, 403),
    ],
)
async def test_each_application_permission_opens_its_own_requests(
    graph: GraphClient, roles: tuple[str, ...], reads: int, writes: int, sends: int
) -> None:
    graph.token = graph.app_token(roles)
    got = [await graph.ask("GET", MESSAGES), await graph.ask("POST", MESSAGES, {}), await graph.send()]
    assert [status for status, _, _ in got] == [reads, writes, sends]
    assert all(code(body) == "ErrorAccessDenied" for status, body, _ in got if status == 403)


async def test_basic_reading_shows_no_body(graph: GraphClient) -> None:
    await graph.send(body={"content": "secret words"})
    path = f"/users/{RELAY}/mailFolders/sentitems/messages"
    assert "secret words" in str(await graph.get(path))
    graph.token = graph.app_token(("Mail.ReadBasic.All",))
    (message,) = (await graph.get(path))["value"]
    assert "body" not in message and "bodyPreview" not in message and message["subject"] == "Hello"
    assert (await graph.ask("GET", f"{MESSAGES}/{message['id']}/$value"))[0] == 403


@pytest.mark.parametrize(
    ("rbac", "relay", "alice"),
    [
        ([{"role": "Application Mail.Send", "mailboxes": [RELAY]}], 202, 403),
        ([{"role": "Application Mail.Send"}], 202, 202),
        ([{"role": "Application Mail.ReadWrite"}], 403, 403),
        ([{"role": "Application SMTP.SendAsApp"}], 403, 403),
    ],
)
async def test_a_scoped_role_counts_without_a_claim_in_the_token(
    graph: GraphClient, rbac: list[dict[str, Any]], relay: int, alice: int
) -> None:
    graph.token = graph.app_token(())
    graph.emulator.control.patch({"applications": {CLIENT_ID: {"rbac": rbac}}})
    assert (await graph.send())[0] == relay
    assert (await graph.send(user="alice@contoso.example"))[0] == alice


async def test_a_scoped_role_needs_a_service_principal_that_exchange_knows(graph: GraphClient) -> None:
    graph.token = graph.app_token(())
    rbac = [{"role": "Application Mail.Send"}]
    graph.emulator.control.patch({"applications": {CLIENT_ID: {"rbac": rbac, "exchange_object_id": "-"}}})
    assert (await graph.send())[0] == 403


async def test_me_is_the_user_of_the_token_and_nobody_for_an_application(graph: GraphClient) -> None:
    status, body, _ = await graph.ask("GET", "/me/messages")
    assert (status, code(body)) == (400, "BadRequest")
    assert body["error"]["message"] == "/me request is only valid with delegated authentication flow."
    graph.token = graph.user_token("alice@contoso.example", "Mail.Read", "User.Read")
    assert (await graph.get("/me/messages"))["value"] == []
    status, body, _ = await graph.ask("GET", MESSAGES)
    assert (status, code(body)) == (403, "ErrorAccessDenied")


async def test_what_is_not_there_is_refused_in_graphs_form(graph: GraphClient) -> None:
    for method, path, status in [
        ("GET", "/users/x@y.example/calendar", 400),
        ("GET", "/", 400),
        ("GET", "", 404),
        ("PUT", MESSAGES, 405),
        ("GET", "/" + "a/" * 100, 400),
        ("GET", "/users/('/messages", 404),
        ("GET", "/%00%ff/%2f%2e", 400),
    ]:
        got, body, _ = await graph.ask(method, path)
        assert got == status, (path, body)


async def test_beta_is_the_same(graph: GraphClient) -> None:
    graph.base = graph.base.replace("/v1.0", "/beta")
    assert (await graph.get(MESSAGES))["@odata.context"].startswith(f"{graph.base}/$metadata#users")


async def test_refusals_stand_in_the_journal_and_in_the_statistics(graph: GraphClient) -> None:
    graph.token = graph.app_token(())
    await graph.send()
    assert graph.emulator.statistics.refused == {"graph_access_denied": 1}
    assert graph.emulator.statistics.refused_codes == {"403 ErrorAccessDenied": 1}
    (entry,) = graph.emulator.journal.entries(refused_only=True)
    assert entry.door == "graph" and "ErrorAccessDenied" in entry.reason and entry.who == CLIENT_ID


async def test_a_user_and_the_organisation_can_be_read(graph: GraphClient) -> None:
    user = await graph.get("/users/alice.smith@contoso.example")
    assert user["mail"] == "alice@contoso.example" and uuid.UUID(user["id"])
    assert (await graph.get(f"/users/{user['id']}?$select=proxyAddresses"))["proxyAddresses"] == [
        "SMTP:alice@contoso.example",
        "smtp:alice.smith@contoso.example",
    ]
    status, body, _ = await graph.ask("GET", "/users/nobody@contoso.example")
    assert (status, code(body)) == (404, "Request_ResourceNotFound")
    graph.token = graph.app_token(("Mail.Send",))
    status, body, _ = await graph.ask("GET", "/users/alice@contoso.example")
    assert (status, code(body)) == (403, "Authorization_RequestDenied")
    graph.token = graph.user_token("alice@contoso.example", "User.Read")
    assert (await graph.get("/me"))["userPrincipalName"] == "alice@contoso.example"
    (organization,) = (await graph.get("/organization"))["value"]
    assert organization["id"] == TENANT_ID and organization["verifiedDomains"][0]["name"] == "contoso.example"


async def test_a_second_tenant_is_judged_by_its_own_mailboxes(graph: GraphClient) -> None:
    graph.emulator.control.patch(
        {
            "others": {
                "fabrikam": {
                    "id": "22222222-8888-7777-6666-555555555555",
                    "name": "Fabrikam",
                    "domains": ["fabrikam.example"],
                    "mailboxes": {"info@fabrikam.example": {}},
                }
            }
        }
    )
    assert (await graph.send(user="info@fabrikam.example"))[0] == 404
    assert (await graph.send(toRecipients=[to("info@fabrikam.example")]))[0] == 202
    assert len(graph.emulator.store.messages("info@fabrikam.example")) == 1


def test_every_refusal_of_graph_stands_on_the_page_of_fidelity() -> None:
    covered = {reason for fact in read_fidelity().facts for reason in fact.reasons}
    makers = [make for name, make in inspect.getmembers(errors, inspect.isfunction) if not name.startswith("_")]
    assert len(makers) > 20
    for make in makers:
        values = [1 if name == "seconds" else "x" for name in inspect.signature(make).parameters]
        assert make(*values).reason in covered, make.__name__
