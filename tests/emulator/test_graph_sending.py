"""Sending by Graph: JSON and MIME, who may send, and every refusal."""

import base64
import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from tests.emulator.graph_client import RELAY, GraphClient, code, to
from tests.emulator.talk import logged_on

from m365emu.mailbox import sent_items

_TOO_MANY_FIELDS = "InvalidInternetMessageHeaderCollection"
MIME = (
    b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nSubject: Hi\r\n"
    b"Message-ID: <m1@device>\r\n\r\nText\r\n"
)


def received(graph: GraphClient, folder: str = "alice@contoso.example") -> EmailMessage:
    (record,) = graph.emulator.store.messages(folder)
    return parsed(graph.emulator.content(record))


def parsed(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_mime_is_accepted_and_delivered_to_the_headers_recipients_with_bcc_hidden(graph: GraphClient) -> None:
    mime = MIME.replace(
        b"Subject", b"Cc: bob@contoso.example\r\nBcc: <x@outside.example>,\r\n y@outside.example\r\nSubject"
    )
    status, body, headers = await graph.send_mime(mime)
    assert (status, body) == (202, b"") and headers["request-id"]
    message = received(graph)
    assert message["Bcc"] is None and message["Message-ID"] == "<m1@device>" and message["Cc"] == "bob@contoso.example"
    assert "outside" not in message.as_string() and message["Date"] is not None
    (record,) = graph.emulator.store.messages("external")
    assert record.envelope_to == [
        "alice@contoso.example",
        "bob@contoso.example",
        "x@outside.example",
        "y@outside.example",
    ]
    assert record.authentication == "Graph" and sent_items(RELAY) in record.folders


async def test_json_becomes_a_real_message_with_all_its_fields(graph: GraphClient) -> None:
    status, body, _ = await graph.send(
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
    message = received(graph)
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
    (record,) = graph.emulator.store.messages("external")
    assert record.envelope_to[-1] == "hidden@outside.example"


@pytest.mark.parametrize(("save", "kept"), [(None, 1), (True, 1), (False, 0), ("false", 0)])
async def test_a_json_message_goes_to_sent_items_unless_it_asks_not_to(
    graph: GraphClient, save: Any, kept: int
) -> None:
    assert (await graph.send(save=save))[0] == 202
    assert len(graph.emulator.store.messages(sent_items(RELAY))) == kept


async def test_a_user_sends_with_a_delegated_permission_from_their_own_mailbox(graph: GraphClient) -> None:
    graph.token = graph.user_token("alice@contoso.example", "Mail.Send")
    body = {"message": {"toRecipients": [to("bob@contoso.example")]}}
    assert (await graph.ask("POST", "/me/sendMail", body))[0] == 202
    assert received(graph, "bob@contoso.example")["From"] == "alice@contoso.example"
    status, body, _ = await graph.ask("POST", f"/users/{RELAY}/sendMail", body)
    assert (status, code(body)) == (403, "ErrorAccessDenied")


async def test_a_user_sends_from_a_mailbox_that_lets_them_with_the_shared_permission(graph: GraphClient) -> None:
    graph.token = graph.user_token(RELAY, "Mail.Send.Shared")
    assert (await graph.send(user="printer@contoso.example"))[0] == 202
    assert received(graph)["From"] == "printer@contoso.example"
    assert (await graph.send(user="bob@contoso.example"))[0] == 403


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
async def test_from_must_be_a_mailbox_that_may_be_sent_as(graph: GraphClient, author: str, status: int) -> None:
    got, body, _ = await graph.send_mime(MIME.replace(b"From: relay@contoso.example", b"From: " + author.encode()))
    assert got == status
    if status == 403:
        assert code(body) == "ErrorSendAsDenied" and body["error"]["message"].endswith(", Cannot submit message.")
        assert graph.emulator.statistics.refused == {"send_as_denied": 1}


async def test_an_at_sign_in_a_display_name_can_be_let_be(graph: GraphClient) -> None:
    graph.emulator.control.patch({"assumptions": {"graph_at_sign_in_name": "accept"}})
    mime = MIME.replace(b"From: relay", b"From: me@device <relay").replace(b"example\r\nTo", b"example>\r\nTo")
    assert (await graph.send_mime(mime))[0] == 202


async def test_sender_and_from_of_json_are_judged_like_mime(graph: GraphClient) -> None:
    assert (await graph.send(**{"from": to("printer@contoso.example", "Printer")}))[0] == 202
    assert received(graph)["From"] == "Printer <printer@contoso.example>"
    assert code((await graph.send(sender=to("bob@contoso.example")))[1]) == "ErrorSendAsDenied"


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
    graph: GraphClient, mime: bytes, wanted: str
) -> None:
    status, body, _ = await graph.send_mime(mime)
    assert (status, code(body)) == (400, wanted)
    assert not graph.emulator.store.messages()


async def test_what_is_no_base64_is_refused_with_the_documented_words(graph: GraphClient) -> None:
    path = f"/users/{RELAY}/sendMail"
    status, body, _ = await graph.ask("POST", path, data=MIME, Content_Type="text/plain")
    assert status == 400
    assert body["error"]["code"] == "ErrorMimeContentInvalidBase64String"
    assert body["error"]["message"] == "Invalid base64 string for MIME content."


async def test_base64_in_lines_is_taken_and_bare_line_feeds_become_crlf(graph: GraphClient) -> None:
    data = base64.encodebytes(MIME.replace(b"\r\n", b"\n"))
    assert (await graph.ask("POST", f"/users/{RELAY}/sendMail", data=data, Content_Type="text/plain"))[0] == 202
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    assert not record.bare_line_feeds and b"\r\n\r\nText\r\n" in graph.emulator.content(record)


async def test_quoted_printable_can_be_refused_as_some_users_saw_it(graph: GraphClient) -> None:
    mime = MIME.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
    assert (await graph.send_mime(mime))[0] == 202
    graph.emulator.control.patch({"assumptions": {"graph_quoted_printable": "refuse"}})
    assert code((await graph.send_mime(mime))[1]) == "ErrorMimeContentInvalid"


async def test_the_message_id_can_be_replaced_as_some_users_saw_it(graph: GraphClient) -> None:
    graph.emulator.control.patch({"assumptions": {"graph_keeps_message_id": False}})
    assert (await graph.send_mime(MIME))[0] == 202
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    assert record.message_id != "<m1@device>" and record.message_id.endswith(".PROD.OUTLOOK.COM>")
    assert received(graph)["Message-ID"] == record.message_id


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
        ({"internetMessageHeaders": [{"name": f"x-{n}", "value": ""} for n in range(6)]}, _TOO_MANY_FIELDS),
        ({"internetMessageHeaders": [{"name": "Bcc", "value": "x@y.example"}]}, "InvalidInternetMessageHeader"),
        ({"internetMessageHeaders": [{"name": "x-a: b\r\nBcc", "value": "x"}]}, "InvalidInternetMessageHeader"),
    ],
)
async def test_json_that_cannot_be_sent_is_refused_with_its_own_code(
    graph: GraphClient, message: dict[str, Any], wanted: str
) -> None:
    status, body, _ = await graph.send(**message)
    assert (status, code(body)) == (400, wanted)
    assert not graph.emulator.store.messages()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"message": 1}', b"{}", b"[" * 100_000, b'{"a":' * 5_000])
async def test_a_body_that_is_no_request_is_refused(graph: GraphClient, body: bytes) -> None:
    path = f"/users/{RELAY}/sendMail"
    status, answer, _ = await graph.ask("POST", path, data=body, Content_Type="application/json")
    assert (status, code(answer)) == (400, "RequestBodyRead")


async def test_a_request_larger_than_the_limit_is_413(graph: GraphClient) -> None:
    status, body, _ = await graph.send_mime(MIME + b"x" * 3_200_000)
    assert (status, code(body)) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("patch", "status", "wanted", "reason"),
    [
        ({"mailboxes": {RELAY: {"full": True}}}, 400, "ErrorQuotaExceeded", "mailbox_full"),
        ({"mailboxes": {RELAY: {"restricted": True}}}, 403, "ErrorMessageSubmissionBlocked", "restricted_sender"),
        ({"mailboxes": {RELAY: {"send_octets": 100}}}, 400, "ErrorMessageSizeExceeded", "message_too_big"),
        ({"mailboxes": {RELAY: {"spam_verdict": "Suspend"}}}, 403, "ErrorMessageSubmissionBlocked", "outbound_spam"),
        ({"mailboxes": {RELAY: {"spam_verdict": "RefuseQuota"}}}, 429, "ErrorExceededMessageLimit", "outbound_spam"),
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
    graph: GraphClient, patch: dict[str, Any], status: int, wanted: str, reason: str
) -> None:
    graph.emulator.control.patch(patch)
    got, body, _ = await graph.send_mime(MIME)
    assert (got, code(body)) == (status, wanted)
    assert graph.emulator.statistics.refused == {reason: 1}
    assert not graph.emulator.store.messages()


async def test_the_days_recipients_are_counted_together_with_smtp(graph: GraphClient) -> None:
    graph.emulator.control.patch({"limits": {"recipients_per_day": 3}})
    talk = logged_on(graph.emulator)
    assert talk.submit(recipients=("alice@contoso.example", "bob@contoso.example")).startswith("250 ")
    assert (await graph.send())[0] == 202
    status, body, _ = await graph.send()
    assert (status, code(body)) == (429, "ErrorSubmissionQuotaExceeded")
    assert graph.emulator.statistics.refused["recipient_quota"] == 1


async def test_too_many_recipients_of_one_message_are_refused(graph: GraphClient) -> None:
    graph.emulator.control.patch({"mailboxes": {RELAY: {"recipient_limit": 2}}})
    several = [to(f"r{n}@outside.example") for n in range(3)]
    assert (await graph.send(toRecipients=several))[0] == 400
    assert (await graph.send(toRecipients=several[:2]))[0] == 202


async def test_too_many_recipients_may_be_reported_instead_of_refused(graph: GraphClient) -> None:
    graph.emulator.control.patch(
        {"mailboxes": {RELAY: {"recipient_limit": 2}}, "assumptions": {"too_many_recipients": "report"}}
    )
    assert (await graph.send(toRecipients=[to(f"r{n}@outside.example") for n in range(3)]))[0] == 202
    assert not graph.emulator.store.messages("external")


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("nobody@contoso.example", "ErrorInvalidUser"),
        ("someone@fabrikam.example", "ErrorInvalidUser"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "ResourceNotFound"),
    ],
)
async def test_a_user_who_does_not_exist_is_404(graph: GraphClient, user: str, wanted: str) -> None:
    status, body, _ = await graph.send(user=user)
    assert (status, code(body)) == (404, wanted)


async def test_paths_are_matched_without_regard_to_case_and_keys_may_stand_in_parentheses(graph: GraphClient) -> None:
    body = {"Message": {"ToRecipients": [{"EmailAddress": {"Address": "alice@contoso.example"}}]}}
    path = "/Users('relay@contoso.example')/microsoft.graph.sendMail"
    assert (await graph.ask("POST", path, body))[0] == 202
    user = await graph.get(f"/users/{RELAY}")
    assert (await graph.ask("POST", f"/users/{user['id']}/SendMail", body))[0] == 202


async def test_the_session_that_brought_a_message_can_be_read(graph: GraphClient) -> None:
    await graph.send_mime(MIME)
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    lines = graph.emulator.store.dialogue(record.id)
    assert lines[0] == f"C: POST /users/{RELAY}/sendMail" and lines[-1] == "S: 202 Accepted <m1@device>"
