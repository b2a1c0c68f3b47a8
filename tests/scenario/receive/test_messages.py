"""Messages over TCP into the real receiver: what is kept, and when 250 is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.receive.memory import Clock, FileSpool, MemoryIntake, octets_of
from tests.unit.receive.office import HOSTNAME, STRANGERS, Client, listener, open_office, policy

from posthouse.decide.policy import Policy, Rights
from posthouse.mail.address import Address
from posthouse.mail.message import InlineContent, Message, SpooledContent
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Verdict
from posthouse.receive.port import NotTaken
from posthouse.store.port import StoreUnavailable

LETTER = "From: a@example.com\r\nSubject: Hello\r\nDate: Wed, 4 Mar 2026 05:06:07 +0000\r\nMessage-ID: <1@x>\r\n\r\nHi"


async def test_a_message_is_kept_with_its_envelope_its_session_and_a_received_field(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        reply = await client.mail(LETTER)
        assert reply.startswith("250 2.0.0 OK queued as ")
        (message,) = office.intake.messages
        assert [str(r.address) for r in message.envelope.recipients] == ["b@example.net"]
        assert str(message.envelope.sender) == "a@example.com"
        assert (message.header.subject, message.header.message_id) == ("Hello", "<1@x>")
        assert (message.session.helo, message.session.protocol, message.session.peer_ip) == (
            "printer",
            "ESMTP",
            "127.0.0.1",
        )
        assert str(message.session.principal) == "inbound_connector:devices"
        assert message.repairs == ()
        received, _, rest = octets_of(message).partition(b"From: ")
        assert received.startswith(b"Received: from printer ([127.0.0.1])\r\n by relay.example")
        assert b"for <b@example.net>" in received
        assert b"From: " + rest == LETTER.encode() + b"\r\n"
        assert reply.rpartition(" ")[2].encode() in received


async def test_250_is_said_only_when_the_intake_has_the_message(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.intake.gate = asyncio.Event()
        client = await office.client()
        await client.greet()
        answer = asyncio.create_task(client.mail(LETTER))
        await office.intake.asked.wait()
        client.send("NOOP\r\n")
        await asyncio.sleep(0)
        assert not answer.done()
        office.intake.gate.set()
        assert (await answer).startswith("250 2.0.0 OK queued")
        assert (await client.reply()) == "250 2.0.0 OK"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StoreUnavailable("no space left", disk_full=True), "452 4.3.1 Insufficient system storage"),
        (StoreUnavailable("locked"), "451 4.3.0 The message could not be stored, try again later"),
        (NotTaken(Reply.of(550, "5.4.4", "No route"), "the flow changed"), "550 5.4.4 No route"),
        (RuntimeError("boom"), "451 4.3.0 The message could not be stored, try again later"),
    ],
)
async def test_a_message_that_was_not_kept_is_never_answered_250(
    tmp_path: Path, failure: Exception, expected: str
) -> None:
    async with open_office(tmp_path) as office:
        office.intake.failure = failure
        client = await office.client()
        await client.greet()
        assert await client.mail(LETTER) == expected
        assert office.intake.refusals("content")[0]["sender"] == "a@example.com"
        office.intake.failure = None
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_missing_date_and_message_id_are_added_and_recorded(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        await client.mail("Subject: scan\r\n\r\nx")
        (message,) = office.intake.messages
        assert len(message.repairs) == 2
        assert message.header.message_id.endswith(f"@{HOSTNAME}>")
        assert b"\r\nDate: Wed, 04 Mar 2026 05:06:07 +0000\r\n" in octets_of(message)
        assert b"\r\nFrom:" not in octets_of(message)


async def test_a_connector_may_ask_for_from_to_be_added(tmp_path: Path) -> None:
    inbound = {"name": "devices", "networks": ["127.0.0.0/8"], "recipients": "any", "add_from": True}
    async with open_office(tmp_path, flow=policy(inbound=[inbound])) as office:
        client = await office.client()
        await client.greet()
        await client.mail("Subject: scan\r\n\r\nx")
        (message,) = office.intake.messages
        assert message.header.from_address == "a@example.com"


async def test_a_message_larger_than_the_threshold_goes_through_the_spool(tmp_path: Path) -> None:
    body = "0123456789" * 20_000
    async with open_office(tmp_path, inline_octets=1000) as office:
        client = await office.client()
        await client.greet()
        lines = "\r\n".join(body[n : n + 70] for n in range(0, len(body), 70))
        assert (await client.mail(f"Subject: large\r\n\r\n{lines}")).startswith("250 ")
        (message,) = office.intake.messages
        assert isinstance(message.content, SpooledContent)
        assert message.content.prefix.startswith(b"Received: ")
        assert message.header.subject == "large"
        whole = octets_of(message)
        assert whole.endswith(f"Subject: large\r\n\r\n{lines}\r\n".encode())
        assert message.content.size_octets == len(f"Subject: large\r\n\r\n{lines}\r\n")


async def test_a_long_header_of_a_spooled_message_is_read_whole(tmp_path: Path) -> None:
    header = "".join(f"X-Number-{n}: {'v' * 60}\r\n" for n in range(500))
    async with open_office(tmp_path, inline_octets=1000) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(f"{header}Subject: at the end\r\n\r\nbody")).startswith("250 ")
        assert office.intake.messages[0].header.subject == "at the end"


async def test_a_spool_that_fails_in_the_middle_is_answered_at_the_end_and_leaves_no_file(tmp_path: Path) -> None:
    async with open_office(tmp_path, inline_octets=1000) as office:
        office.intake.spool_fails_after = 50_000
        client = await office.client()
        await client.greet()
        assert await client.mail("Subject: x\r\n\r\n" + "line\r\n" * 50_000) == "452 4.3.1 Insufficient system storage"
        assert office.intake.spools[0].was_discarded
        assert list(tmp_path.iterdir()) == []
        office.intake.spool_fails_after = None
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_a_client_that_vanishes_in_the_content_leaves_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, inline_octets=1000) as office:
        client = await office.client()
        await client.greet()
        for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"):
            await client.say(line)
        client.send("Subject: x\r\n\r\n" + "line\r\n" * 1000)
        await client.writer.drain()
        while not office.intake.spools:
            await asyncio.sleep(0)
        client.close()
        while not office.intake.spools[0].was_discarded:
            await asyncio.sleep(0)
        assert office.intake.messages == []


async def test_a_client_that_half_closes_behind_its_last_octet_still_hears_250(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.intake.gate = asyncio.Event()
        client = await office.client()
        await client.greet()
        client.send(f"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n{LETTER}\r\n.\r\n")
        client.writer.write_eof()
        await office.intake.asked.wait()
        office.intake.gate.set()
        assert b"250 2.0.0 OK queued as" in await client.rest()


async def test_a_client_that_is_gone_before_the_commit_changes_nothing_about_it(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.intake.gate = asyncio.Event()
        client = await office.client()
        await client.greet()
        client.send(f"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n{LETTER}\r\n.\r\n")
        await office.intake.asked.wait()
        client.writer.transport.abort()
        office.intake.gate.set()
        while office.receiver.open_connections["in"]:
            await asyncio.sleep(0)
        assert len(office.intake.messages) == 1


async def test_pipelined_transactions_are_answered_in_order_and_in_few_pieces(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        one = f"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nBDAT {len(LETTER)} LAST\r\n{LETTER}"
        client.send(one * 200 + "QUIT\r\n")
        lines = (await client.rest()).decode().splitlines()
        assert [line[:3] for line in lines] == ["250"] * 600 + ["221"]
        assert len(office.intake.messages) == 200


async def test_a_stranger_is_refused_and_sent_away_after_a_while(tmp_path: Path) -> None:
    async with open_office(tmp_path, flow=STRANGERS) as office:
        client = await office.client()
        await client.greet()
        for _ in range(9):
            assert await client.say("MAIL FROM:<x@example.org>") == "530 5.7.57 Client not authenticated to send mail"
        assert (await client.say("MAIL FROM:<x@example.org>")).startswith("421 4.7.0 Too many errors")
        assert await client.rest() == b""
        assert office.intake.refusals("mail")[0]["peer"] == "127.0.0.1"


async def test_recipients_are_judged_by_the_flow(tmp_path: Path) -> None:
    flow = policy(
        inbound=[{"name": "devices", "networks": ["127.0.0.0/8"], "senders": ["@example.com"]}],
        route=[{"name": "home", "recipients": ["example.com"], "connectors": ["next"]}],
    )
    async with open_office(tmp_path, flow=flow) as office:
        client = await office.client()
        await client.greet()
        assert (await client.say("MAIL FROM:<x@example.org>")).startswith("550 5.7.60 ")
        assert (await client.say("MAIL FROM:<x@example.com>")).startswith("250 ")
        assert await client.say("RCPT TO:<b@example.net>") == "550 5.7.1 Unable to relay"
        assert (await client.say("RCPT TO:<b@example.com>")).startswith("250 ")
        assert (await client.say("RCPT TO:<postmaster>")).startswith("250 ")
        (refusal,) = office.intake.refusals("rcpt")
        assert (refusal["recipient"], refusal["sender"]) == ("b@example.net", "x@example.com")
        assert (await client.say("DATA")).startswith("354 ")
        assert (await client.say(f"{LETTER}\r\n.")).startswith("250 ")
        (message,) = office.intake.messages
        assert [r.address for r in message.envelope.recipients] == [
            Address("b", "example.com"),
            Address("postmaster", "example.com"),
        ]


async def test_a_recipient_without_a_route_is_refused_at_rcpt(tmp_path: Path) -> None:
    flow = policy(route=[{"name": "home", "recipients": ["example.com"], "connectors": ["next"]}])
    async with open_office(tmp_path, flow=flow) as office:
        client = await office.client()
        await client.greet()
        await client.say("MAIL FROM:<x@example.com>")
        assert await client.say("RCPT TO:<b@example.net>") == "550 5.4.4 No route to the recipient's domain"


async def test_a_new_flow_counts_from_the_next_mail_on(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(LETTER)).startswith("250 ")
        office.receiver.set_policy(STRANGERS)
        assert (await client.mail(LETTER)).startswith("530 ")


async def test_a_full_queue_is_told_at_mail(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.intake.answer = (Reply.of(452, "4.3.1", "Insufficient system resources"), "1,000,000 copies wait")
        client = await office.client()
        await client.greet()
        assert (await client.mail(LETTER)) == "452 4.3.1 Insufficient system resources"
        assert office.intake.refusals("mail")[0]["reason"] == "1,000,000 copies wait"


async def test_the_smaller_limit_of_a_connector_is_offered_and_kept(tmp_path: Path) -> None:
    inbound = {"name": "devices", "networks": ["127.0.0.0/8"], "recipients": "any", "max_message": 2000}
    async with open_office(tmp_path, flow=policy(inbound=[inbound])) as office:
        client = await office.client()
        assert "250-SIZE 2000" in await client.greet()
        assert (await client.say("MAIL FROM:<a@example.com> SIZE=3000")).startswith("552 5.3.4 ")
        assert (await client.mail("Subject: x\r\n\r\n" + "line\r\n" * 1000)).startswith("552 5.3.4 ")
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_a_message_that_went_in_circles_is_refused_and_the_way_is_named(tmp_path: Path) -> None:
    hops = "".join(f"Received: from a by hop{n}.example; Wed, 4 Mar 2026 05:06:07 +0000\r\n" for n in range(6))
    async with open_office(tmp_path, max_received=5) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(hops + LETTER)).startswith("554 5.4.14 ")
        assert "hop0.example <- hop1.example" in str(office.intake.refusals("content")[0]["reason"])
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_a_message_that_this_node_handled_often_is_refused(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        letter: str | bytes = LETTER
        for _ in range(4):
            assert (await client.mail(letter)).startswith("250 ")
            letter = octets_of(office.intake.messages[-1]).removesuffix(b"\r\n")
        assert (await client.mail(letter)).startswith("554 5.4.14 ")


async def test_bare_newlines_are_mended_for_devices_and_the_repair_is_recorded(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(LETTER.replace("\r\n", "\n"))).startswith("250 ")
        (message,) = office.intake.messages
        assert isinstance(message.content, InlineContent)
        assert b"\n" not in message.content.data.replace(b"\r\n", b"")
        assert message.repairs == ("5 bare line ends in the content were turned into CRLF.",)


async def test_rates_are_kept_per_principal(tmp_path: Path) -> None:
    inbound = {
        "name": "devices",
        "networks": ["127.0.0.0/8"],
        "recipients": "any",
        "messages_per_minute": 4,
        "recipients_per_day": 2,
    }
    async with open_office(tmp_path, flow=policy(inbound=[inbound])) as office:
        office.receiver.prime_quota({"inbound_connector:devices": 1})
        client = await office.client()
        await client.greet()
        await client.say("MAIL FROM:<a@example.com>")
        assert (await client.say("RCPT TO:<b@example.net>")).startswith("250 ")
        assert (await client.say("RCPT TO:<c@example.net>")).startswith("452 4.5.3 ")
        await client.say("RSET")
        assert (await client.say("MAIL FROM:<a@example.com>")).startswith("450 4.4.2 ")


async def test_connections_are_counted_by_address_and_by_listener(tmp_path: Path) -> None:
    one = listener(max_connections_per_address=1)
    two = listener(name="two", max_connections=1)
    async with open_office(tmp_path, one, two) as office:
        first = await office.client()
        assert (await first.reply()).startswith("220 ")
        second = await office.client()
        assert (await second.rest()).startswith(b"421 4.3.2 The maximum number of concurrent connections")
        third = await office.client("two")
        assert (await third.reply()).startswith("220 ")
        assert (await (await office.client("two", host="127.0.0.1")).rest()).startswith(b"421 4.3.2 ")
        assert (await first.say("QUIT")).startswith("221 ")
        await first.rest()
        while office.receiver.open_connections["in"]:
            await asyncio.sleep(0)
        assert (await (await office.client()).reply()).startswith("220 ")


async def test_a_stop_sends_idle_sessions_away_and_lets_a_running_message_finish(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        idle, busy = await office.client(), await office.client()
        await idle.greet()
        await busy.greet()
        for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"):
            await busy.say(line)
        port = office.port()
        stopping = asyncio.create_task(office.receiver.drain(timedelta(seconds=30)))
        assert (await idle.reply()).startswith("421 4.3.2 ")
        assert await idle.rest() == b""
        idle.close()
        with pytest.raises(OSError):
            await Client.connect(port)
        assert (await busy.say(f"{LETTER}\r\n.")).startswith("250 ")
        assert (await busy.reply()).startswith("421 4.3.2 ")
        busy.close()
        assert await stopping == 0
        assert len(office.intake.messages) == 1


async def test_a_stop_cuts_off_what_does_not_end_in_time(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        await client.say("MAIL FROM:<a@example.com>")
        assert await office.receiver.drain(timedelta(0)) == 1


async def test_a_thousand_connections_are_served_at_once(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(max_connections_per_address=2000), max_connections=2000) as office:
        clients = [await office.client() for _ in range(1000)]
        for client in clients:
            assert (await client.reply()).startswith("220 ")
        assert office.receiver.open_connections == {"in": 1000}
        for client in clients[::100]:
            await client.say("EHLO x")
            assert (await client.mail(LETTER)).startswith("250 ")
        for client in clients:
            client.close()
        while office.receiver.open_connections["in"]:
            await asyncio.sleep(0)


class FaultyPolicy(Policy):
    """Has a fault for one sender."""

    def judge_sender(self, rights: Rights | None, sender: Address | None) -> Verdict:
        if sender is not None and sender.local == "fault":
            raise RuntimeError("a fault of ours")
        return super().judge_sender(rights, sender)


async def test_a_fault_of_ours_ends_its_session_alone(tmp_path: Path) -> None:
    async with open_office(tmp_path, flow=FaultyPolicy(policy().flow)) as office:
        unlucky, other = await office.client(), await office.client()
        await unlucky.greet()
        await other.greet()
        assert await unlucky.say("MAIL FROM:<fault@example.com>") == (
            "421 4.3.0 Internal error, closing transmission channel"
        )
        assert await unlucky.rest() == b""
        unlucky.close()
        assert (await other.mail(LETTER)).startswith("250 ")


async def test_an_intake_that_refuses_at_once_is_heard_too(tmp_path: Path) -> None:
    class Refusing(MemoryIntake):
        def enqueue(self, message: Message) -> Awaitable[None]:  # type: ignore[override]
            raise StoreUnavailable("closed")

    async with open_office(tmp_path, intake=Refusing(tmp_path, Clock(), 1000)) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(LETTER)).startswith("451 4.3.0 ")
        assert (await client.mail(f"{LETTER}\r\n" + "line\r\n" * 1000)).startswith("451 4.3.0 ")
        assert list(tmp_path.iterdir()) == []


async def test_a_large_message_in_a_loop_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    hops = "".join(f"Received: from a by hop{n}.example; Wed, 4 Mar 2026 05:06:07 +0000\r\n" for n in range(6))
    async with open_office(tmp_path, max_received=5, inline_octets=1000) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(hops + LETTER + "\r\n" + "line\r\n" * 1000)).startswith("554 5.4.14 ")
        assert list(tmp_path.iterdir()) == []


async def test_a_spool_that_cannot_be_opened_is_answered_at_the_end(tmp_path: Path) -> None:
    class Full(MemoryIntake):
        def open_spool(self) -> FileSpool:
            raise StoreUnavailable("no space left on device", disk_full=True)

    async with open_office(tmp_path, intake=Full(tmp_path, Clock(), 1000)) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail(LETTER + "\r\n" + "line\r\n" * 10_000)).startswith("452 4.3.1 ")
        assert (await client.mail(LETTER)).startswith("250 ")
