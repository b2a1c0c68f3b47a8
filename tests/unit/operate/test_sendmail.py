"""What ``posthouse send`` makes of standard input and its arguments."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.operate.sendmail import Addressed, Unaddressed, address_message, read_message


def address(content: bytes, **changes: Any) -> Addressed | Unaddressed:
    given: dict[str, Any] = {
        "arguments": (),
        "sender": "me@example.com",
        "full_name": "",
        "from_header": False,
        "domain": "relay.example.com",
    }
    return address_message(content, **(given | changes))


def addressed(content: bytes, **changes: Any) -> Addressed:
    found = address(content, **changes)
    assert isinstance(found, Addressed)
    return found


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_becomes_crlf(line_end: bytes) -> None:
    text = line_end.join([b"Subject: x", b"", b"one", b"two", b""])
    assert read_message(text, dot_ends=False) == b"Subject: x\r\n\r\none\r\ntwo\r\n"


def test_a_last_line_without_end_gets_one() -> None:
    assert read_message(b"Subject: x\n\nend", dot_ends=True).endswith(b"end\r\n")


def test_a_single_dot_ends_the_message_unless_told_otherwise() -> None:
    text = b"Subject: x\n\none\n.\ntwo\n"
    assert read_message(text, dot_ends=True) == b"Subject: x\r\n\r\none\r\n"
    assert read_message(text, dot_ends=False) == b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n"


def test_the_separator_line_of_a_mailbox_file_is_dropped() -> None:
    assert read_message(b"From root Mon Jan  1 00:00:00 2026\nSubject: x\n\n", dot_ends=True).startswith(b"Subject")


def test_recipients_come_from_the_header_and_bcc_is_removed() -> None:
    content = (
        b"From: a@example.com\r\nTo: Bob <bob@example.org>,\r\n carol@example.org\r\n"
        b"Bcc: hidden@example.org\r\nCc: bob@example.org\r\n\r\nbody\r\n"
    )
    found = addressed(content, from_header=True, arguments=("dave@example.net",))
    assert found.recipients == ("dave@example.net", "bob@example.org", "carol@example.org", "hidden@example.org")
    assert b"hidden" not in found.content
    assert b"carol@example.org" in found.content


def test_without_the_option_the_header_names_nobody_and_bcc_stays() -> None:
    content = b"From: a@example.com\r\nBcc: hidden@example.org\r\n\r\n"
    found = addressed(content, arguments=("bob@example.org",))
    assert (found.recipients, found.content) == (("bob@example.org",), content)


def test_nobody_to_send_to_is_said_in_words() -> None:
    found = address(b"Subject: x\r\n\r\n", from_header=True)
    assert found == Unaddressed("no recipients: none were given as arguments, and none in To, Cc and Bcc")


def test_names_without_a_domain_get_the_one_of_the_node() -> None:
    found = addressed(b"From: x\r\n\r\n", arguments=("root", "<bob@example.org>"), sender="cron")
    assert found.sender == "cron@relay.example.com"
    assert found.recipients == ("root@relay.example.com", "bob@example.org")


@pytest.mark.parametrize("sender", ["<>", ""])
def test_the_null_sender_can_be_given(sender: str) -> None:
    assert addressed(b"From: x\r\n\r\n", arguments=("bob@example.org",), sender=sender).sender is None


def test_from_is_added_where_it_is_missing_and_a_name_cannot_break_out_of_it() -> None:
    found = addressed(b"Subject: x\r\n\r\n", arguments=("b@example.org",), full_name="A\r\nBcc: evil@example.org")
    head = found.content.partition(b"\r\n")[0]
    assert head.startswith(b"From: ") and head.endswith(b"<me@example.com>")
    assert b"\r\nBcc" not in found.content


def test_text_without_a_header_stays_text() -> None:
    found = addressed(b"just words\r\n", arguments=("b@example.org",))
    assert found.content == b"From: me@example.com\r\n\r\njust words\r\n"
