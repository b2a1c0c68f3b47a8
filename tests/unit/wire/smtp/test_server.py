"""What dialogs cannot show: what the driver sees of the machine, misuse, memory and cost."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.dialog import Scene
from tests.dialog_memory import MemoryDriver

from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.events import (
    NEED_DATA,
    PAUSED,
    AuthStarted,
    Closed,
    ContentChunk,
    Hello,
    MailFrom,
    Reset,
    StartTls,
)
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.order import State
from posthouse.wire.smtp.server import ServerMachine

OFFER = Offer(hostname="relay.example", starttls_offered=True, mechanisms=("PLAIN",))
TO_DATA = b"EHLO web\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"


def greeted(offer: Offer = OFFER) -> ServerMachine:
    machine = ServerMachine(offer)
    machine.greet()
    machine.data_to_send()
    return machine


def test_nothing_is_read_before_the_banner() -> None:
    machine = ServerMachine(OFFER)
    machine.receive_data(b"EHLO early\r\n")
    assert machine.next_event() is PAUSED
    machine.greet()
    assert machine.data_to_send() == b"220 relay.example ESMTP Posthouse\r\n"
    assert machine.next_event() == Hello("early", True)


def test_a_refused_connection_says_why_and_closes() -> None:
    machine = ServerMachine(OFFER)
    machine.refuse_connection(replies.SERVICE_NOT_AVAILABLE)
    assert machine.data_to_send() == b"421 4.3.2 Service not available\r\n"
    assert machine.next_event() == Closed("connection refused")
    assert machine.next_event() is PAUSED


def test_nothing_more_is_parsed_while_an_event_waits() -> None:
    machine = greeted()
    machine.receive_data(b"EHLO web\r\nMAIL FROM:<a@example.com>\r\nRSET\r\n")
    assert isinstance(machine.next_event(), Hello)
    assert machine.next_event() is PAUSED
    assert machine.backlog_octets == len(b"MAIL FROM:<a@example.com>\r\nRSET\r\n")
    machine.welcome()
    assert isinstance(machine.next_event(), MailFrom)
    machine.reply(replies.SENDER_OK)
    assert machine.in_transaction
    assert machine.next_event() == Reset()
    assert not machine.in_transaction
    assert machine.next_event() is NEED_DATA


def test_a_hello_in_mid_transaction_gives_a_reset_before_it() -> None:
    driver = MemoryDriver()
    driver.feed(b"EHLO web\r\nMAIL FROM:<a@example.com>\r\nHELO again\r\n")
    assert [type(event).__name__ for event in driver.events] == ["Hello", "MailFrom", "Reset", "Hello"]
    assert driver.machine.hello_name == "again"
    assert not driver.machine.is_esmtp


def test_hello_names_are_recorded_as_they_come() -> None:
    driver = MemoryDriver()
    for line in (b"EHLO", b"HELO   spaced out ", b"EHLO b\xfcro", b"HELO a\x07b", b"EHLO " + b"x" * 300):
        driver.feed(line + b"\r\n")
    names = [event.name for event in driver.events if isinstance(event, Hello)]
    assert names == ["", "spaced out", "b\N{REPLACEMENT CHARACTER}ro", "a?b", "x" * 255]


def test_plain_text_behind_starttls_is_counted_and_forgotten() -> None:
    machine = greeted()
    machine.receive_data(b"EHLO web\r\n")
    machine.next_event()
    machine.welcome()
    machine.receive_data(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
    assert machine.next_event() == StartTls()
    machine.reply(replies.READY_FOR_TLS)
    assert machine.next_event() is PAUSED
    machine.receive_data(b"more")
    assert machine.next_event() is PAUSED
    machine.secured()
    assert machine.discarded_octets == len(b"MAIL FROM:<evil@example.org>\r\nmore")
    assert (machine.hello_name, machine.is_esmtp, machine.is_secured) == ("", False, True)
    assert machine.next_event() is NEED_DATA


def test_a_refused_starttls_leaves_the_session_plain() -> None:
    machine = greeted()
    machine.receive_data(b"EHLO web\r\nSTARTTLS\r\nNOOP\r\n")
    machine.next_event()
    machine.welcome()
    assert machine.next_event() == StartTls()
    machine.data_to_send()
    machine.reply(replies.TLS_NOT_AVAILABLE)
    assert machine.next_event() is NEED_DATA
    assert machine.data_to_send().splitlines()[-1] == b"250 2.0.0 OK"
    assert machine.state is State.READY


def test_log_in_before_tls_is_forgotten_with_it() -> None:
    machine = greeted(Offer(hostname="x", starttls_offered=True, mechanisms_before_tls=("PLAIN",)))
    machine.receive_data(b"EHLO web\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n")
    machine.next_event()
    machine.welcome()
    assert machine.next_event() == AuthStarted("PLAIN", b"\0a\0b")
    machine.reply(replies.AUTHENTICATED)
    assert machine.is_authenticated
    machine.next_event()
    machine.reply(replies.READY_FOR_TLS)
    machine.secured()
    assert not machine.is_authenticated


@pytest.mark.parametrize(
    ("octets", "offer", "protocol"),
    [
        (b"HELO a\r\n" + TO_DATA[10:], "", "SMTP"),
        (TO_DATA, "", "ESMTP"),
        (TO_DATA, "implicit-tls", "ESMTPS"),
        (b"HELO a\r\n" + TO_DATA[10:], "implicit-tls", "ESMTPS"),
        (TO_DATA.replace(b"MAIL", b"AUTH PLAIN AGEAYg==\r\nMAIL"), "before-tls=PLAIN", "ESMTPA"),
        (TO_DATA.replace(b"MAIL", b"AUTH PLAIN AGEAYg==\r\nMAIL"), "implicit-tls mechanisms=PLAIN", "ESMTPSA"),
        (TO_DATA.replace(b"m>", b"m> SMTPUTF8"), "", "UTF8SMTP"),
        (TO_DATA.replace(b"m>", b"m> SMTPUTF8"), "implicit-tls", "UTF8SMTPS"),
    ],
)
def test_the_protocol_is_named_as_received_fields_want_it(octets: bytes, offer: str, protocol: str) -> None:
    words = {word.partition("=")[0]: word.partition("=")[2] for word in offer.split()}
    driver = MemoryDriver(Scene(offer=words, account=("a", "b")))
    driver.feed(octets + b"x\r\n.\r\n")
    assert [message.protocol for message in driver.messages] == [protocol]


def test_the_offer_may_change_in_mid_session() -> None:
    machine = greeted()
    machine.offer = Offer(hostname="relay.example", mechanisms_before_tls=("EXTERNAL",), chunking=False)
    machine.receive_data(b"EHLO web\r\n")
    machine.next_event()
    machine.welcome()
    sent = machine.data_to_send()
    assert b"AUTH EXTERNAL" in sent
    assert b"CHUNKING" not in sent


def test_the_driver_may_close_at_any_moment() -> None:
    driver = MemoryDriver()
    driver.feed(TO_DATA + b"half")
    driver.machine.close(replies.IDLE_TOO_LONG, "timed out")
    assert driver.machine.data_to_send() == b"421 4.4.1 Connection timed out\r\n"
    assert driver.machine.next_event() == Closed("timed out")
    assert driver.feed(b"\r\n.\r\nNOOP\r\n") == b""
    driver.machine.reply(replies.OK)
    assert driver.machine.data_to_send() == b""


def test_answering_what_was_not_asked_is_a_broken_promise() -> None:
    machine = greeted()
    for act in (machine.welcome, machine.secured, machine.greet):
        with pytest.raises(RuntimeError):
            act()
    with pytest.raises(RuntimeError):
        machine.reply(replies.OK)
    with pytest.raises(RuntimeError):
        machine.challenge(b"")


def test_errors_are_forgiven_after_an_accepted_message() -> None:
    driver = MemoryDriver(Scene(offer={"max-errors": "3"}))
    sent = driver.feed(b"FOO\r\nFOO\r\n" + TO_DATA + b"x\r\n.\r\nFOO\r\nFOO\r\n")
    assert b"421" not in sent
    assert driver.feed(b"FOO\r\n").startswith(b"421 4.7.0 ")
    assert driver.closed == "too many errors"


def test_wrong_passwords_count_as_errors_and_refused_recipients_do_not() -> None:
    scene = Scene(offer={"max-errors": "3", "before-tls": "PLAIN"})
    scene.refusals["rcpt", "b@example.net"] = Reply.of(550, "5.1.1", "User unknown")
    driver = MemoryDriver(scene)
    sent = driver.feed(b"EHLO web\r\nMAIL FROM:<a@example.com>\r\n" + b"RCPT TO:<b@example.net>\r\n" * 20)
    assert b"421" not in sent
    assert driver.feed(b"RSET\r\n" + b"AUTH PLAIN AGEAYg==\r\n" * 3).count(b"535") == 2
    assert driver.closed == "too many errors"


def test_the_transcript_has_every_line_and_no_credential() -> None:
    driver = MemoryDriver(Scene(offer={"before-tls": "PLAIN,LOGIN"}, account=("printer", "geheim")))
    driver.feed(b"EHLO web\r\nAUTH LOGIN cHJpbnRlcg==\r\nZ2VoZWlt\r\nRSET\r\nAUTH PLAIN xyz\r\n")
    text = "\n".join(driver.transcript)
    assert "< EHLO web" in driver.transcript
    assert "< AUTH LOGIN <authentication data>" in driver.transcript
    assert "> 235 2.7.0 Authentication successful" in driver.transcript
    assert not any(secret in text for secret in ("cHJpbnRlcg", "Z2VoZWlt", "geheim", "xyz", "UGFzc3dvcmQ6"))


def test_content_is_not_in_the_transcript() -> None:
    driver = MemoryDriver()
    driver.feed(TO_DATA + b"secret body\r\n.\r\nQUIT\r\n")
    assert "secret body" not in "\n".join(driver.transcript)
    assert driver.transcript[-2:] == ["< QUIT", "> 221 2.0.0 Service closing transmission channel"]


def test_a_large_message_passes_through_flat_memory() -> None:
    driver = MemoryDriver()
    driver.feed(TO_DATA)
    machine = driver.machine
    piece = (b"x" * 76 + b"\r\n") * 840
    count = 0
    tracemalloc.start()
    for _ in range(320):
        machine.receive_data(memoryview(piece))
        event = machine.next_event()
        assert isinstance(event, ContentChunk)
        count += len(event.data)
        assert machine.next_event() is NEED_DATA
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 320 * len(piece) - 2
    assert peak < 6 * len(piece)


def test_an_endless_command_line_is_not_kept() -> None:
    driver = MemoryDriver()
    driver.machine.data_to_send()
    for _ in range(500):
        assert driver.feed(b"A" * 4096) == b""
        assert driver.machine.backlog_octets <= 12288 + 4096
    assert driver.feed(b"\r\n").startswith(b"500 5.5.2 ")


def test_what_looks_like_tls_in_the_middle_of_an_endless_line_is_part_of_the_line() -> None:
    driver = MemoryDriver()
    driver.machine.data_to_send()
    driver.feed(b"A" * 13000)
    assert driver.feed(b"\x16\x03\x01") == b""
    assert driver.feed(b"\r\nNOOP\r\n").splitlines()[-1] == b"250 2.0.0 OK"


def test_many_tiny_reads_while_an_event_waits_cost_no_copies_of_the_backlog() -> None:
    machine = greeted()
    machine.receive_data(b"EHLO web\r\n")
    machine.next_event()
    for _ in range(100_000):
        machine.receive_data(b"NOOP\r\n")
        assert machine.next_event() is PAUSED
    machine.welcome()
    assert machine.next_event() is NEED_DATA
    assert machine.data_to_send().count(b"250 2.0.0 OK\r\n") == 100_000


def test_a_backlog_of_small_messages_is_read_without_copying_the_rest_each_time() -> None:
    driver = MemoryDriver()
    one = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n.x\r\n.\r\n"
    driver.feed(b"HELO web\r\n" + one * 5000)
    assert len(driver.messages) == 5000
    assert {message.content for message in driver.messages} == {b"x\r\n"}
