"""A large message taken apart: nothing is lost, and what must stay together does."""

from __future__ import annotations

import hashlib
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from posthouse.deliver.graph.dismantle import Parts, Source, dismantle
from posthouse.mail.address import Address
from posthouse.mail.message import InlineContent, SpooledContent

ALICE = [Address.parse("alice@contoso.example")]


def parts_of(data: bytes, most: int) -> Parts:
    parts = dismantle(Source(InlineContent(data)), ALICE, most)
    assert isinstance(parts, Parts), parts
    return parts


def draft_of(parts: Parts) -> EmailMessage:
    message = message_from_bytes(parts.draft, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def letter(*files: tuple[str, int]) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["To"], message["Subject"] = "alice@contoso.example", "s"
    message.set_content("The text\r\n")
    for name, size in files:
        message.add_attachment(name[:1].encode() * size, maintype="application", subtype="pdf", filename=name)
    return message.as_bytes()


def test_only_the_largest_files_leave_the_draft() -> None:
    parts = parts_of(letter(("a.pdf", 3000), ("b.pdf", 50), ("c.pdf", 9000)), 6000)
    assert [(f.described.name, f.size_octets) for f in parts.files] == [("c.pdf", 9000)]
    draft = draft_of(parts)
    assert [p.get_filename() for p in draft.iter_attachments()] == ["a.pdf", "b.pdf"]
    assert draft.get_body().get_content().strip() == "The text"  # type: ignore[union-attr]


def test_every_octet_of_a_file_can_be_read_from_where_it_lies() -> None:
    data = letter(("a.pdf", 100_000))
    (file,) = parts_of(data, 5000).files
    assert b"".join(Source(InlineContent(data)).decoded(file.leaf)) == b"a" * 100_000


def test_the_spool_with_a_prefix_in_the_place_of_its_header_is_read_alike(tmp_path: Path) -> None:
    path, data = tmp_path / "spooled", letter(("a.pdf", 40_000), ("b.pdf", 50_000))
    path.write_bytes(b"Old: header\r\n" + data)
    prefix = b"From: relay@contoso.example\r\n"
    content = SpooledContent(
        path=path, size_octets=len(data) + 13, sha256=hashlib.sha256().digest(), prefix=prefix, skip_octets=13
    )
    source = Source(content)
    assert b"".join(source.read(0, source.size_octets)) == prefix + data
    assert b"".join(source.read(10, 100)) == (prefix + data)[10:100]
    parts = dismantle(source, ALICE, 5000)
    assert isinstance(parts, Parts)
    assert [b"".join(source.decoded(f.leaf)) for f in parts.files] == [b"a" * 40_000, b"b" * 50_000]
    assert b"Old: header" not in parts.draft


def test_a_container_that_loses_all_its_parts_keeps_an_empty_text() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\n\r\n"
        + b"x" * 9000
        + b"\r\n--b\r\nContent-Type: image/png\r\n\r\n"
        + b"y" * 9000
        + b"\r\n--b--\r\n"
    )
    parts = parts_of(data, 2000)
    assert [f.described.media_type for f in parts.files] == ["application/pdf", "image/png"]
    (only,) = draft_of(parts).iter_parts()
    assert (only.get_content_type(), only.get_content().strip()) == ("text/plain", "")


def test_an_attached_message_follows_as_a_file() -> None:
    inner = b"Subject: inner\r\n\r\n" + b"z" * 9000
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n" + (
        b"Content-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    )
    (file,) = parts_of(data, 2000).files
    assert file.described.name == "message.eml"
    assert b"".join(Source(InlineContent(data)).decoded(file.leaf)) == inner


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain\r\n\r\n",
        b"Content-Type: application/pkcs7-mime\r\n\r\n",
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\n\r\n",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/calendar\r\n\r\n",
    ],
)
def test_what_must_stay_together_is_not_taken_apart(head: bytes) -> None:
    reason = dismantle(Source(InlineContent(head + b"x" * 9000)), ALICE, 2000)
    assert isinstance(reason, str) and "no files" in reason
