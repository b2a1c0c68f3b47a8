"""What Graph's JSON can say of a message, and what it cannot."""

from __future__ import annotations

import base64
import json
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.deliver.graph.json_form import Unfit, message_json
from posthouse.mail.address import Address
from posthouse.wire.header import HeaderIndex
from posthouse.wire.rebuild import Rebuilt, rebuild_header

HEAD = b"From: Relay <relay@contoso.example>\r\nTo: alice@contoso.example\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\n"


def said(mime: bytes) -> dict[str, Any]:
    body = message_json(mime, 4_000_000)
    assert not isinstance(body, Unfit), body
    request = json.loads(body)
    assert request["saveToSentItems"] is False
    message: dict[str, Any] = request["message"]
    return message


def test_html_is_preferred_and_pictures_stay_inside_it() -> None:
    message = EmailMessage(policy=SMTP)
    message["To"], message["Importance"], message["X-Device"] = "a@x.example", "High", "printer"
    message.set_content("plain")
    message.add_alternative("<p><img src='cid:logo'>", subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(b"PNG", "image", "png", cid="<logo>", filename="logo.png")  # type: ignore[union-attr]
    message.add_attachment(b"PDF", maintype="application", subtype="pdf", filename="grün.pdf")
    found = said(message.as_bytes())
    assert found["body"]["contentType"] == "html" and "cid:logo" in found["body"]["content"]
    logo, pdf = found["attachments"]
    assert (logo["contentId"], logo["isInline"], logo["name"]) == ("logo", True, "logo.png")
    assert (pdf["name"], pdf["isInline"], base64.b64decode(pdf["contentBytes"])) == ("grün.pdf", False, b"PDF")
    assert found["importance"] == "high"
    assert found["internetMessageHeaders"] == [{"name": "x-device", "value": "printer"}]


def test_the_fields_of_the_header_are_said() -> None:
    found = said(HEAD + b"Reply-To: Desk <desk@x.example>\r\nMessage-ID: <1@x.example>\r\n\r\ntext")
    assert found["subject"] == "grün"
    assert found["from"] == {"emailAddress": {"address": "relay@contoso.example", "name": "Relay"}}
    assert found["replyTo"] == [{"emailAddress": {"address": "desk@x.example", "name": "Desk"}}]
    assert found["internetMessageId"] == "<1@x.example>"


@pytest.mark.parametrize(
    "mime",
    [
        HEAD + b"References: <0@x.example>\r\n\r\ntext",
        HEAD + b"Auto-Submitted: auto-generated\r\n\r\ntext",
        HEAD + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR",
        HEAD + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b--",
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--",
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n--b--",
        HEAD
        + b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/calendar\r\n\r\n--b--",
        HEAD + b"\r\n" + b"x" * 4_000_000,
    ],
)
def test_what_would_be_lost_is_not_said_at_all(mime: bytes) -> None:
    assert isinstance(message_json(mime, 4_000_000), Unfit)


_PIECES = st.sampled_from(
    [b"To: ", b"Cc: ", b"bob@y.example", b"eve@z.example", b"<", b">", b'"', b",", b";", b":", b"\r\n", b"\r\n ",
     b"--b",
     b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html; charset=undefined\r\n", b"--b--",
     b"Content-Type: text/plain; charset=idna\r\n", b"Content-Type: application/pdf; name*=x''%ff\r\n", b"\xff",
     b"text"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=25).map(b"".join), st.sets(st.sampled_from(["bob", "eve", "al+x"]), min_size=1))
def test_for_any_message_the_recipients_said_are_the_envelope(data: bytes, locals_: set[str]) -> None:
    envelope = [Address(local, "y.example") for local in sorted(locals_)]
    index = HeaderIndex.scan(data)
    header = rebuild_header(index, envelope)
    assert isinstance(header, Rebuilt)
    body = message_json(header.header + data[index.body_start :], 4_000_000)
    if not isinstance(body, Unfit):
        message = json.loads(body)["message"]
        people = [p for key in ("toRecipients", "ccRecipients", "bccRecipients") for p in message.get(key, [])]
        assert {p["emailAddress"]["address"] for p in people} == {str(a) for a in envelope}
