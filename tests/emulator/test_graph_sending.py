"""Sending by Graph: JSON and MIME, who may send, and every refusal."""

import base64
import email
import email.policy
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from tests.emulator.graph_client import RELAY, GraphClient, code, graph_tenant, to
from tests.emulator.talk import NOON, logged_on

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.mailbox import sent_items
from m365emu.tenant import tenant_from_document

MIME = (
    b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nSubject: Hi\r\n"
    b"Message-ID: <m1@device>\r\n\r\nText\r\n"
)


@pytest.fixture
async def client(directory: Path) -> AsyncIterator[GraphClient]:
    tenant = tenant_from_document(graph_tenant())
    async with (
        Emulator(directory, tenant=tenant, clock=ManualClock(NOON)) as emulator,
        GraphClient(emulator) as client,
    ):
        yield client


def received(client: GraphClient, folder: str = "alice@contoso.example") -> EmailMessage:
    (record,) = client.emulator.store.messages(folder)
    return parsed(client.emulator.content(record))


def parsed(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_mime_is_accepted_and_delivered_to_the_headers_recipients_with_bcc_hidden(client: GraphClient) -> None:
    mime = MIME.replace(
        b"Subject", b"Cc: bob@contoso.example\r\nBcc: <x@outside.example>,\r\n y@outside.example\r\nSubject"
    )
    status, body, headers = await client.send_mime(mime)
    assert (status, body) == (202, b"") and headers["request-id"]
    message = received(client)
    assert message["Bcc"] is None and message["Message-ID"] == "<m1@device>" and message["Cc"] == "bob@contoso.example"
    assert "outside" not in message.as_string() and message["Date"] is not None
    (record,) = client.emulator.store.messages("external")
    assert record.envelope_to == [
        "alice@contoso.example",
        "bob@contoso.example",
        "x@outside.example",
        "y@outside.example",
    ]
    assert record.authentication == "Graph" and sent_items(RELAY) in record.folders


async def test_json_becomes_a_real_message_with_all_its_fields(client: GraphClient) -> None:
    status, body, _ = await client.send(
        subject="Grüße, \r\nBcc: evil@outside.example",
        body={"contentType": "HTML", "content": "<p>Ærø <img src='cid:logo'></p>"},
        ccRecipients=[to("bob@contoso.example", 'Bob, the "Builder"')],
        bccRecipients=[to("hidden@outside.example")],
        replyTo=[to("desk@outside.example", "Jürgen")],
        importance="High",
        internetMessageHeaders=[{"name": "X-Device", "value": "printer 7"}],
        internetMessageId="<mine@example>",
        attachments=[
            {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": "größe.txt",
                "contentType": "text/plain",
                "contentBytes": base64.b64encode(b"data" * 100).decode(),
            },
            {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": "logo.png",
                "contentType": "image/png",
                "contentBytes": base64.b64encode(b"\x89PNG").decode(),
                "isInline": True,
                "contentId": "logo",
            },
        ],
    )
    assert status == 202, body
    message = received(client)
    assert message["Subject"] == "Grüße,  Bcc: evil@outside.example" and message["Bcc"] is None
    assert message["From"].addresses[0].addr_spec == RELAY
    assert message["Cc"].addresses[0].display_name == 'Bob, the "Builder"'
    assert message["Reply-To"].addresses[0].display_name == "Jürgen"
    assert message["Importance"] == "high" and message["X-Device"] == "printer 7"
    assert message["Message-ID"] != "<mine@example>"
    text = message.get_body(("html",))
    assert text is not None and "Ærø" in text.get_content()
    names = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert names["größe.txt"].get_content() == "data" * 100
    assert names["logo.png"]["Content-ID"] == "<logo>" and names["logo.png"].get_content_disposition() == "inline"
    (record,) = client.emulator.store.messages("external")
    assert record.envelope_to[-1] == "hidden@outside.example"


@pytest.mark.parametrize(("save", "kept"), [(None, 1), (True, 1), (False, 0), ("false", 0)])
async def test_a_json_message_goes_to_sent_items_unless_it_asks_not_to(
    client: GraphClient, save: Any, kept: int
) -> None:
    assert (await client.send(save=save))[0] == 202
    assert len(client.emulator.store.messages(sent_items(RELAY))) == kept


async def test_a_user_sends_with_a_delegated_permission_from_their_own_mailbox(client: GraphClient) -> None:
    client.token = client.user_token("alice@contoso.example", "Mail.Send")
    body = {"message": {"toRecipients": [to("bob@contoso.example")]}}
    assert (await client.ask("POST", "/me/sendMail", body))[0] == 202
    assert received(client, "bob@contoso.example")["From"] == "alice@contoso.example"
    status, body, _ = await client.ask("POST", f"/users/{RELAY}/sendMail", body)
    assert (status, code(body)) == (403, "ErrorAccessDenied")


async def test_a_user_sends_from_a_mailbox_that_lets_them_with_the_shared_permission(client: GraphClient) -> None:
    client.token = client.user_token(RELAY, "Mail.Send.Shared")
    assert (await client.send(user="printer@contoso.example"))[0] == 202
    assert received(client)["From"] == "printer@contoso.example"
    assert (await client.send(user="bob@contoso.example"))[0] == 403


@pytest.mark.parametrize(
    ("author", "status"),
    [
        ("relay@contoso.example", 202),
        ("printer@contoso.example", 202),
        ("alice@contoso.example", 403),
        ("stranger@outside.example", 403),
        ("me@device <relay@contoso.example>", 403),
        ('"me@device" <relay@contoso.example>', 202),
    ],
)
async def test_from_must_be_a_mailbox_that_may_be_sent_as(client: GraphClient, author: str, status: int) -> None:
    got, body, _ = await client.send_mime(MIME.replace(b"From: relay@contoso.example", b"From: " + author.encode()))
    assert got == status
    if status == 403:
        assert code(body) == "ErrorSendAsDenied" and body["error"]["message"].endswith(", Cannot submit message.")
        assert client.emulator.statistics.refused == {"send_as_denied": 1}


async def test_an_at_sign_in_a_display_name_can_be_let_be(client: GraphClient) -> None:
    client.emulator.control.patch({"assumptions": {"graph_at_sign_in_name": "accept"}})
    mime = MIME.replace(b"From: relay", b"From: me@device <relay").replace(b"example\r\nTo", b"example>\r\nTo")
    assert (await client.send_mime(mime))[0] == 202


async def test_sender_and_from_of_json_are_judged_like_mime(client: GraphClient) -> None:
    assert (await client.send(**{"from": to("printer@contoso.example", "Printer")}))[0] == 202
    assert received(client)["From"] == "Printer <printer@contoso.example>"
    assert code((await client.send(sender=to("bob@contoso.example")))[1]) == "ErrorSendAsDenied"


@pytest.mark.parametrize(
    ("mime", "wanted"),
    [
        (b"", "ErrorMimeContentInvalidBase64String"),
        (b"no header at all\r\n\r\ntext", "ErrorMimeContentInvalid"),
        (b"From: relay@contoso.example\r\nSubject: nobody\r\n\r\n", "ErrorInvalidRecipients"),
        (MIME.replace(b"To: alice@contoso.example", b"To: undisclosed-recipients:;"), "ErrorInvalidRecipients"),
        (MIME.replace(b"To: alice@contoso.example", b"To: alice"), "ErrorInvalidRecipients"),
        (MIME.replace(b"To: alice@contoso.example", b"To: a@b@c, bob@contoso.example"), "ErrorInvalidRecipients"),
    ],
)
async def test_mime_that_cannot_be_sent_is_refused_with_its_own_code(
    client: GraphClient, mime: bytes, wanted: str
) -> None:
    status, body, _ = await client.send_mime(mime)
    assert (status, code(body)) == (400, wanted)
    assert not client.emulator.store.messages()


async def test_what_is_no_base64_is_refused_with_the_documented_words(client: GraphClient) -> None:
    path = f"/users/{RELAY}/sendMail"
    status, body, _ = await client.ask("POST", path, data=MIME, Content_Type="text/plain")
    assert status == 400
    assert body["error"]["code"] == "ErrorMimeContentInvalidBase64String"
    assert body["error"]["message"] == "Invalid base64 string for MIME content."


async def test_base64_in_lines_is_taken_and_bare_line_feeds_become_crlf(client: GraphClient) -> None:
    data = base64.encodebytes(MIME.replace(b"\r\n", b"\n"))
    assert (await client.ask("POST", f"/users/{RELAY}/sendMail", data=data, Content_Type="text/plain"))[0] == 202
    (record,) = client.emulator.store.messages("alice@contoso.example")
    assert not record.bare_line_feeds and b"\r\n\r\nText\r\n" in client.emulator.content(record)


async def test_quoted_printable_can_be_refused_as_some_users_saw_it(client: GraphClient) -> None:
    mime = MIME.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
    assert (await client.send_mime(mime))[0] == 202
    client.emulator.control.patch({"assumptions": {"graph_quoted_printable": "refuse"}})
    assert code((await client.send_mime(mime))[1]) == "ErrorMimeContentInvalid"


async def test_the_message_id_can_be_replaced_as_some_users_saw_it(client: GraphClient) -> None:
    client.emulator.control.patch({"assumptions": {"graph_keeps_message_id": False}})
    assert (await client.send_mime(MIME))[0] == 202
    (record,) = client.emulator.store.messages("alice@contoso.example")
    assert record.message_id != "<m1@device>" and record.message_id.endswith(".PROD.OUTLOOK.COM>")
    assert received(client)["Message-ID"] == record.message_id


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"toRecipients": []}, "ErrorInvalidRecipients"),
        ({"toRecipients": [to("no address")]}, "ErrorInvalidRecipients"),
        ({"toRecipients": [to("a@b.example\r\nBcc: c@d.example")]}, "ErrorInvalidRecipients"),
        ({"flavour": "sweet"}, "RequestBodyRead"),
        ({"subject": {"a": 1}}, "RequestBodyRead"),
        ({"importance": "urgent"}, "RequestBodyRead"),
        ({"attachments": [{"name": "a", "contentBytes": "%%%"}]}, "RequestBodyRead"),
        ({"internetMessageHeaders": [{"name": "Bcc", "value": "x@y.example"}]}, "InvalidInternetMessageHeader"),
        ({"internetMessageHeaders": [{"name": "x-a: b\r\nBcc", "value": "x"}]}, "InvalidInternetMessageHeader"),
    ],
)
async def test_json_that_cannot_be_sent_is_refused_with_its_own_code(
    client: GraphClient, message: dict[str, Any], wanted: str
) -> None:
    status, body, _ = await client.send(**message)
    assert (status, code(body)) == (400, wanted)
    assert not client.emulator.store.messages()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"message": 1}', b"{}", b"[" * 100_000, b'{"a":' * 5_000])
async def test_a_body_that_is_no_request_is_refused(client: GraphClient, body: bytes) -> None:
    path = f"/users/{RELAY}/sendMail"
    status, answer, _ = await client.ask("POST", path, data=body, Content_Type="application/json")
    assert (status, code(answer)) == (400, "RequestBodyRead")


async def test_a_request_larger_than_the_limit_is_413(client: GraphClient) -> None:
    status, body, _ = await client.send_mime(MIME + b"x" * 3_200_000)
    assert (status, code(body)) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("patch", "status", "wanted", "reason"),
    [
        ({"mailboxes": {RELAY: {"full": True}}}, 400, "ErrorQuotaExceeded", "mailbox_full"),
        ({"mailboxes": {RELAY: {"restricted": True}}}, 403, "ErrorMessageSubmissionBlocked", "restricted_sender"),
        ({"mailboxes": {RELAY: {"send_octets": 100}}}, 400, "ErrorMessageSizeExceeded", "message_too_big"),
        ({"limits": {"mailbox_send_octets": 100}}, 400, "ErrorMessageSizeExceeded", "message_too_big"),
        (
            {"mailboxes": {RELAY: {"kind": "hve"}}},
            404,
            "MailboxNotEnabledForRESTAPI",
            "graph_MailboxNotEnabledForRESTAPI",
        ),
    ],
)
async def test_the_state_of_the_mailbox_refuses(
    client: GraphClient, patch: dict[str, Any], status: int, wanted: str, reason: str
) -> None:
    client.emulator.control.patch(patch)
    got, body, _ = await client.send_mime(MIME)
    assert (got, code(body)) == (status, wanted)
    assert client.emulator.statistics.refused == {reason: 1}
    assert not client.emulator.store.messages()


async def test_the_days_recipients_are_counted_together_with_smtp(client: GraphClient) -> None:
    client.emulator.control.patch({"limits": {"recipients_per_day": 3}})
    talk = logged_on(client.emulator)
    assert talk.submit(recipients=("alice@contoso.example", "bob@contoso.example")).startswith("250 ")
    assert (await client.send())[0] == 202
    status, body, _ = await client.send()
    assert (status, code(body)) == (429, "ErrorSubmissionQuotaExceeded")
    assert client.emulator.statistics.refused["recipient_quota"] == 1


async def test_too_many_recipients_of_one_message_are_refused(client: GraphClient) -> None:
    client.emulator.control.patch({"mailboxes": {RELAY: {"recipient_limit": 2}}})
    several = [to(f"r{n}@outside.example") for n in range(3)]
    assert (await client.send(toRecipients=several))[0] == 400
    assert (await client.send(toRecipients=several[:2]))[0] == 202


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("nobody@contoso.example", "ErrorInvalidUser"),
        ("someone@fabrikam.example", "ErrorInvalidUser"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "ResourceNotFound"),
    ],
)
async def test_a_user_who_does_not_exist_is_404(client: GraphClient, user: str, wanted: str) -> None:
    status, body, _ = await client.send(user=user)
    assert (status, code(body)) == (404, wanted)


async def test_paths_are_matched_without_regard_to_case_and_keys_may_stand_in_parentheses(client: GraphClient) -> None:
    body = {"Message": {"ToRecipients": [{"EmailAddress": {"Address": "alice@contoso.example"}}]}}
    path = "/Users('relay@contoso.example')/microsoft.graph.sendMail"
    assert (await client.ask("POST", path, body))[0] == 202
    user = await client.get(f"/users/{RELAY}")
    assert (await client.ask("POST", f"/users/{user['id']}/SendMail", body))[0] == 202


async def test_the_session_that_brought_a_message_can_be_read(client: GraphClient) -> None:
    await client.send_mime(MIME)
    (record,) = client.emulator.store.messages("alice@contoso.example")
    lines = client.emulator.store.dialogue(record.id)
    assert lines[0] == f"C: POST /users/{RELAY}/sendMail" and lines[-1] == "S: 202 Accepted <m1@device>"
