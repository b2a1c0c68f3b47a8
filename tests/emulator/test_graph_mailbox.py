"""Reading by Graph: folders, filters, pages, and the way of a draft with its attachments."""

import base64
import email
import email.policy
import hashlib
import resource
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from tests.emulator.graph_client import RELAY, GraphClient, code, to
from tests.emulator.talk import logged_on

from m365emu.clock import ManualClock

USER = f"/users/{RELAY}"
SENT = f"{USER}/mailFolders/sentitems/messages"
MEGABYTE = 1_048_576


def filtered(path: str, text: str) -> str:
    return f"{path}?$filter={quote(text)}"


async def test_a_sent_message_is_found_by_its_internet_message_id(graph: GraphClient) -> None:
    for number in range(3):
        mime = f"From: {RELAY}\r\nTo: bob@contoso.example\r\nMessage-ID: <m{number}@relay>\r\n\r\nText\r\n"
        assert (await graph.send_mime(mime.encode()))[0] == 202
    body = await graph.get(filtered(SENT, "internetMessageId eq '<m1@relay>'") + "&$select=internetMessageId")
    assert [message["internetMessageId"] for message in body["value"]] == ["<m1@relay>"]
    assert set(body["value"][0]) == {"@odata.etag", "id", "internetMessageId"}
    assert (await graph.get(filtered(SENT, "internetMessageId eq '<none@relay>'")))["value"] == []
    bob = await graph.get(filtered("/users/bob@contoso.example/mailFolders/inbox/messages", "isRead eq false"))
    assert len(bob["value"]) == 3


async def test_mail_that_came_by_smtp_is_read_in_the_inbox_and_in_sent_items(graph: GraphClient) -> None:
    logged_on(graph.emulator).submit(
        b"From: Relay <relay@contoso.example>\r\nTo: =?utf-8?q?J=C3=BCrgen?= <alice@contoso.example>\r\n"
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nMessage-ID: <smtp@device>\r\nX-Device: 7\r\nImportance: high\r\n"
        b"Date: Sun, 23 Nov 2025 11:59:00 +0000\r\n\r\nHello\r\n",
        recipients=("alice@contoso.example", "hidden@outside.example"),
    )
    (message,) = (await graph.get("/users/alice@contoso.example/mailFolders('inbox')/messages"))["value"]
    assert message["subject"] == "Grüße" and message["internetMessageId"] == "<smtp@device>"
    assert message["from"] == {"emailAddress": {"name": "Relay", "address": RELAY}}
    assert message["toRecipients"][0]["emailAddress"]["name"] == "Jürgen"
    assert message["body"] == {"contentType": "text", "content": "Hello\r\n"} and message["bodyPreview"] == "Hello"
    assert message["bccRecipients"] == [] and message["importance"] == "high" and not message["isRead"]
    assert message["receivedDateTime"] == "2025-11-23T12:00:00.031000Z"
    assert message["sentDateTime"] == "2025-11-23T11:59:00Z" and "internetMessageHeaders" not in message
    (sent,) = (await graph.get(f"{SENT}?$select=bccRecipients,internetMessageHeaders"))["value"]
    assert sent["bccRecipients"] == [to("hidden@outside.example", "hidden@outside.example")]
    assert {"name": "x-device", "value": "7"} in sent["internetMessageHeaders"]
    assert sent["id"] != message["id"]


async def test_the_mime_of_a_message_is_what_was_delivered(graph: GraphClient) -> None:
    mime = (
        f"From: {RELAY}\r\nTo: bob@contoso.example\r\nBcc: x@y.example\r\nDate: now\r\nMessage-ID: <a@b>\r\n\r\nHi\r\n"
    )
    await graph.send_mime(mime.encode())
    (message,) = (await graph.get(SENT))["value"]
    status, octets, headers = await graph.ask("GET", f"{USER}/messages/{message['id']}/$value")
    assert status == 200 and headers["Content-Type"] == "text/plain"
    (record,) = graph.emulator.store.messages("bob@contoso.example")
    assert octets == graph.emulator.content(record) and b"Bcc" not in octets and octets.endswith(b"\r\n\r\nHi\r\n")


async def test_lists_are_cut_into_pages_that_lead_to_each_other(graph: GraphClient, clock: ManualClock) -> None:
    for number in range(5):
        await graph.send(subject=f"Number {number}")
        clock.advance(timedelta(minutes=1))
    subjects, path = list[str](), f"{SENT}?$top=2&$count=true&$select=subject&$orderby=receivedDateTime%20asc"
    while path:
        body = await graph.get(path)
        assert body["@odata.count"] == 5
        subjects += [message["subject"] for message in body["value"]]
        path = body.get("@odata.nextLink", "")
    assert subjects == [f"Number {number}" for number in range(5)]
    late = await graph.get(filtered(SENT, "receivedDateTime ge 2025-11-23T12:03:00Z and not startswith(subject, 'x')"))
    assert [message["subject"] for message in late["value"]] == ["Number 4", "Number 3"]
    either = "subject eq 'number 0' or (contains(subject,'1') and from/emailAddress/address eq 'RELAY@contoso.example')"
    assert len((await graph.get(filtered(SENT, either)))["value"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "$filter=",
        "$filter=subject",
        "$filter=subject eq",
        "$filter=subject eq 'a",
        "$filter=flavour eq 'sweet'",
        "$filter=" + "(" * 200,
        "$filter=" + "not " * 500 + "isRead eq true",
        "$filter=" + "isRead eq true and " * 250,
        "$filter=contains(subject, 7)",
        "$filter=receivedDateTime ge 2025-99-99T00:00:00Z",
        "$top=0",
        "$top=99999",
        "$top=-1",
        "$top=9999999999999999",
        "$skip=x",
        "$select=flavour",
        "$orderby=flavour",
        "$apply=everything",
        "$expand=attachments",
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(graph: GraphClient, query: str) -> None:
    status, body, _ = await graph.ask("GET", f"{SENT}?{quote(query, safe='$=')}")
    if query == "$filter=":
        assert status == 200
    else:
        assert (status, code(body)) == (400, "RequestBroker--ParseUri")


@pytest.mark.parametrize(
    ("key", "status", "wanted"),
    [
        ("x", 400, "ErrorInvalidIdMalformed"),
        ("AAMk", 400, "ErrorInvalidIdMalformed"),
        ("AAMk%ff", 400, "ErrorInvalidIdMalformed"),
        ("AAMkaW5ib3gvbm9uZQ==", 404, "ErrorItemNotFound"),
        ("AAMkZHJhZnRzL25vbmU=", 404, "ErrorItemNotFound"),
    ],
)
async def test_an_id_that_leads_nowhere_is_refused(graph: GraphClient, key: str, status: int, wanted: str) -> None:
    got, body, _ = await graph.ask("GET", f"{USER}/messages/{key}")
    assert (got, code(body)) == (status, wanted)


async def test_a_message_of_another_mailbox_is_not_found_by_its_id(graph: GraphClient) -> None:
    await graph.send()
    (message,) = (await graph.get("/users/alice@contoso.example/messages"))["value"]
    assert (await graph.ask("GET", f"/users/bob@contoso.example/messages/{message['id']}"))[0] == 404


async def test_a_message_is_marked_as_read_and_removed_from_one_folder_only(graph: GraphClient) -> None:
    await graph.send()
    path = "/users/alice@contoso.example/messages"
    (message,) = (await graph.get(path))["value"]
    status, body, _ = await graph.ask("PATCH", f"{path}/{message['id']}", {"isRead": True})
    assert status == 200 and body["isRead"]
    assert (await graph.ask("PATCH", f"{path}/{message['id']}", {"subject": "new"}))[0] == 400
    assert (await graph.ask("DELETE", f"{path}/{message['id']}"))[0] == 204
    assert (await graph.get(path))["value"] == [] and len((await graph.get(SENT))["value"]) == 1


async def test_folders_are_counted(graph: GraphClient) -> None:
    await graph.send()
    await graph.draft()
    folders = {folder["displayName"]: folder for folder in (await graph.get(f"{USER}/mailFolders"))["value"]}
    assert folders["Sent Items"]["totalItemCount"] == 1 and folders["Drafts"]["totalItemCount"] == 1
    by_id = await graph.get(f"{USER}/mailFolders/{folders['Drafts']['id']}/messages")
    assert [message["subject"] for message in by_id["value"]] == ["Draft"]
    assert (await graph.get("/users/alice@contoso.example/mailFolders/inbox"))["unreadItemCount"] == 1
    assert (await graph.get(f"{USER}/mailFolders/junkemail/messages"))["value"] == []


async def test_a_draft_is_written_changed_and_sent(graph: GraphClient) -> None:
    key = await graph.draft(body={"contentType": "text", "content": "one"}, bccRecipients=[to("b@outside.example")])
    changes = {"subject": "Better", "body": {"contentType": "html", "content": "<b>two</b>"}, "ccRecipients": []}
    status, body, _ = await graph.ask("PATCH", f"{USER}/messages/{key}", changes)
    assert status == 200 and body["subject"] == "Better" and body["bodyPreview"] == "two"
    assert body["bccRecipients"] == [to("b@outside.example", "b@outside.example")] and body["isDraft"]
    assert (await graph.ask("POST", f"{USER}/messages/{key}/send"))[0] == 202
    assert (await graph.ask("GET", f"{USER}/messages/{key}"))[0] == 404
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    assert record.envelope_to == ["alice@contoso.example", "b@outside.example"]
    assert b"outside" not in graph.emulator.content(record)
    (sent,) = (await graph.get(SENT))["value"]
    assert sent["subject"] == "Better" and not sent["isDraft"]


async def test_a_draft_has_its_message_id_from_the_beginning_and_keeps_it(graph: GraphClient) -> None:
    for keeps in (True, False):
        graph.emulator.control.patch({"assumptions": {"graph_keeps_message_id": keeps}})
        key = await graph.draft()
        draft = await graph.get(f"{USER}/messages/{key}")
        assert draft["internetMessageId"].endswith(".PROD.OUTLOOK.COM>")
        assert draft["from"]["emailAddress"]["address"] == RELAY
        assert (await graph.ask("POST", f"{USER}/messages/{key}/send"))[0] == 202
        found = await graph.get(filtered(SENT, f"internetMessageId eq '{draft['internetMessageId']}'"))
        assert len(found["value"]) == 1


async def test_a_json_message_may_name_itself_when_that_is_assumed(graph: GraphClient) -> None:
    graph.emulator.control.patch({"assumptions": {"graph_takes_internet_message_id": True}})
    await graph.send(internetMessageId="<mine@relay>")
    (sent,) = (await graph.get(SENT))["value"]
    assert sent["internetMessageId"] == "<mine@relay>"


async def test_a_draft_without_recipients_stays_when_it_cannot_be_sent(graph: GraphClient) -> None:
    key = await graph.draft(toRecipients=[])
    status, body, _ = await graph.ask("POST", f"{USER}/messages/{key}/send")
    assert (status, code(body)) == (400, "ErrorInvalidRecipients")
    assert (await graph.ask("DELETE", f"{USER}/messages/{key}"))[0] == 204
    assert (await graph.get(f"{USER}/mailFolders/drafts/messages"))["value"] == []


async def test_a_mime_draft_keeps_its_structure_and_takes_attachments(graph: GraphClient) -> None:
    mime = (
        f"From: {RELAY}\nTo: alice@contoso.example\nBcc: bob@contoso.example\nSubject: two parts\n"
        'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="x"\n\n'
        "--x\nContent-Type: text/plain\n\nplain\n--x\nContent-Type: text/html\n\n<i>html</i>\n--x--\n"
    )
    data = base64.b64encode(mime.encode())
    status, body, _ = await graph.ask("POST", f"{USER}/messages", data=data, Content_Type="text/plain")
    assert status == 201 and body["body"]["content"].strip() == "<i>html</i>"
    attachment = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "a.bin",
        "contentBytes": base64.b64encode(bytes(range(256))).decode(),
    }
    path = f"{USER}/messages/{body['id']}/attachments"
    status, added, _ = await graph.ask("POST", path, attachment)
    assert status == 201 and added["size"] == 256
    (listed,) = (await graph.get(path))["value"]
    assert base64.b64decode(listed["contentBytes"]) == bytes(range(256))
    assert (await graph.ask("GET", f"{path}/{listed['id']}/$value"))[1] == bytes(range(256))
    assert (await graph.ask("POST", f"{USER}/messages/{body['id']}/send"))[0] == 202
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    message = email.message_from_bytes(graph.emulator.content(record), policy=email.policy.default)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/octet-stream",
    ]
    (sent,) = (await graph.get(f"{SENT}?$select=hasAttachments"))["value"]
    assert sent["hasAttachments"] is True
    (found,) = (await graph.get(f"{USER}/messages/{sent['id']}/attachments"))["value"]
    assert found["name"] == "a.bin" and found["size"] == 256


async def upload_session(graph: GraphClient, key: str, size: int, **more: Any) -> tuple[int, Any]:
    item = {"AttachmentItem": {"attachmentType": "file", "name": "large.bin", "size": size, **more}}
    status, body, _ = await graph.ask("POST", f"{USER}/messages/{key}/attachments/createUploadSession", item)
    return status, body


async def put(graph: GraphClient, url: str, octets: bytes, start: int, total: int) -> tuple[int, Any, dict[str, str]]:
    return await graph.ask(
        "PUT",
        url,
        data=octets,
        Authorization="",
        Content_Type="application/octet-stream",
        Content_Range=f"bytes {start}-{start + len(octets) - 1}/{total}",
    )


async def test_a_large_attachment_is_uploaded_in_pieces_with_memory_bounded(graph: GraphClient) -> None:
    size, step = 20 * MEGABYTE, 2 * MEGABYTE
    graph.emulator.control.patch({"limits": {"mailbox_send_octets": 100 * MEGABYTE}})
    key = await graph.draft()
    status, session = await upload_session(graph, key, size)
    assert status == 201 and session["nextExpectedRanges"] == ["0-"] and session["expirationDateTime"]
    digest, piece = hashlib.sha256(), bytes(range(256)) * (step // 256)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, size, step):
        status, body, headers = await put(graph, session["uploadUrl"], piece, start, size)
        digest.update(piece)
        if start + step < size:
            assert status == 200 and body["nextExpectedRanges"] == [str(start + step)]
    assert status == 201 and "/Attachments('" in headers["Location"] and body == b""
    assert (await graph.ask("POST", f"{USER}/messages/{key}/send"))[0] == 202
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1_024
    assert grown < size * 3 // 4
    (record,) = graph.emulator.store.messages("alice@contoso.example")
    message = email.message_from_bytes(graph.emulator.content(record), policy=email.policy.default)
    (attachment,) = [part for part in message.walk() if part.get_filename() == "large.bin"]
    octets = attachment.get_payload(decode=True)
    assert isinstance(octets, bytes) and hashlib.sha256(octets).digest() == digest.digest()
    assert not list((graph.emulator.store.directory.parent / "graph").iterdir())


async def test_the_location_of_an_upload_holds_the_id_of_the_attachment(graph: GraphClient) -> None:
    key = await graph.draft()
    _, session = await upload_session(graph, key, 3 * MEGABYTE, contentType="image/png", isInline=True, contentId="c1")
    _, _, headers = await put(graph, session["uploadUrl"], b"x" * 3 * MEGABYTE, 0, 3 * MEGABYTE)
    attachment = headers["Location"].rpartition("('")[2].removesuffix("')")
    path = f"{USER}/messages/{key}/attachments/{attachment}"
    shown = await graph.get(f"{path}?$select=name,size")
    assert shown["name"] == "large.bin" and shown["size"] == 3 * MEGABYTE and shown["contentId"] == "c1"
    assert "contentBytes" not in shown
    assert (await graph.ask("DELETE", path))[0] == 204
    assert (await graph.ask("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("range_", "octets", "status"),
    [
        ("", b"xx", 400),
        ("bytes 0-1", b"xx", 400),
        ("bytes 0-1/3145728", b"x", 400),
        ("bytes 1-0/3145728", b"xx", 400),
        ("bytes 0-1/4000000", b"xx", 400),
        ("bytes 2-3/3145728", b"xx", 416),
        ("bytes 0-99999999999999999/3145728", b"xx", 400),
        ("bytes 0-1/3145728", b"x" * (4 * MEGABYTE + 1), 413),
    ],
)
async def test_a_piece_that_does_not_fit_is_refused_and_the_session_goes_on(
    graph: GraphClient, range_: str, octets: bytes, status: int
) -> None:
    _, session = await upload_session(graph, await graph.draft(), 3 * MEGABYTE)
    got, _, _ = await graph.ask("PUT", session["uploadUrl"], data=octets, Authorization="", Content_Range=range_)
    assert got == status
    assert (await put(graph, session["uploadUrl"], b"xx", 0, 3 * MEGABYTE))[0] == 200


async def test_pieces_can_be_held_to_320_kib(graph: GraphClient) -> None:
    graph.emulator.control.patch({"assumptions": {"graph_upload_pieces": "320-kib"}})
    _, session = await upload_session(graph, await graph.draft(), 3 * MEGABYTE)
    assert (await put(graph, session["uploadUrl"], b"x" * MEGABYTE, 0, 3 * MEGABYTE))[0] == 400
    step = 320 * 1024
    assert (await put(graph, session["uploadUrl"], b"x" * step, 0, 3 * MEGABYTE))[0] == 200


async def test_a_session_ends_is_cancelled_and_opens_for_its_own_key_only(
    graph: GraphClient, clock: ManualClock
) -> None:
    key = await graph.draft()
    for small in (0, 3 * MEGABYTE - 1):
        status, body = await upload_session(graph, key, small)
        assert (status, code(body)) == (400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
    assert (await upload_session(graph, key, 200 * MEGABYTE))[0] == 413
    _, session = await upload_session(graph, key, 3 * MEGABYTE)
    url = session["uploadUrl"]
    assert (await put(graph, url[:-1] + "~", b"xx", 0, 3 * MEGABYTE))[0] == 404
    assert (await put(graph, url, b"xx", 0, 3 * MEGABYTE))[0] == 200
    clock.advance(timedelta(days=1))
    assert (await put(graph, url, b"xx", 2, 3 * MEGABYTE))[0] == 404
    graph.token = graph.app_token()
    _, session = await upload_session(graph, key, 3 * MEGABYTE)
    assert (await graph.ask("DELETE", session["uploadUrl"], Authorization=""))[0] == 204
    assert (await put(graph, session["uploadUrl"], b"xx", 0, 3 * MEGABYTE))[0] == 404


async def test_a_message_larger_than_the_mailbox_may_send_is_refused_when_it_is_sent(graph: GraphClient) -> None:
    graph.emulator.control.patch({"limits": {"mailbox_send_octets": 3 * MEGABYTE}})
    key = await graph.draft()
    _, session = await upload_session(graph, key, 3 * MEGABYTE)
    assert (await put(graph, session["uploadUrl"], b"x" * 3 * MEGABYTE, 0, 3 * MEGABYTE))[0] == 201
    status, body, _ = await graph.ask("POST", f"{USER}/messages/{key}/send")
    assert (status, code(body)) == (400, "ErrorMessageSizeExceeded")
    assert not graph.emulator.store.messages() and not list(graph.emulator.store.directory.glob("incoming-*"))
    assert len((await graph.get(f"{USER}/mailFolders/drafts/messages"))["value"]) == 1


async def test_an_attachment_of_three_megabytes_needs_a_session(graph: GraphClient) -> None:
    graph.emulator.control.patch({"limits": {"graph_request_octets": 5_000_000}})
    key = await graph.draft()
    body = {"name": "a", "contentBytes": base64.b64encode(b"x" * 3 * MEGABYTE).decode()}
    status, answer, _ = await graph.ask("POST", f"{USER}/messages/{key}/attachments", body)
    assert (status, code(answer)) == (413, "ErrorAttachmentSizeLimitExceeded")


async def test_drafts_are_bounded(graph: GraphClient) -> None:
    graph.emulator.control.patch({"limits": {"stored_octets": 10_000}})
    assert (await graph.ask("POST", f"{USER}/messages", {"body": {"content": "x" * 20_000}}))[0] == 400
    await graph.draft()
    graph.emulator.control.patch({"limits": {"stored_octets": 8 * MEGABYTE}})
    key = await graph.draft()
    _, session = await upload_session(graph, key, 4 * MEGABYTE)
    assert (await upload_session(graph, key, 4 * MEGABYTE))[0] == 400
    assert (await put(graph, session["uploadUrl"], b"x" * 4 * MEGABYTE, 0, 4 * MEGABYTE))[0] == 201
