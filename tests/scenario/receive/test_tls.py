"""TLS of the real receiver: STARTTLS, implicit TLS, client certificates, reload, PROXY in front."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

import pytest
from tests.unit.net.authority import Authority
from tests.unit.receive.memory import octets_of
from tests.unit.receive.office import HOSTNAME, STRANGERS, listener, open_office, policy

from posthouse.net.certificates import KeptOld, Reloaded, ServerCertificates
from posthouse.receive.server import ReceiveProblem, open_certificates
from posthouse.receive.settings import TlsSettings

LETTER = "From: a@example.com\r\nSubject: Hello\r\n\r\nHi"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "tls").mkdir()
    return Authority(tmp_path / "tls")


@pytest.fixture
def certificates(authority: Authority) -> ServerCertificates:
    pair = authority.issue(HOSTNAME)
    return ServerCertificates(pair.certificate, pair.key, authority.file)


async def test_a_message_after_starttls_bears_the_facts_of_tls(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    async with open_office(tmp_path, listener(tls="starttls"), certificates=certificates) as office:
        client = await office.client()
        assert "250-STARTTLS" in await client.greet()
        await client.start_tls(authority.client_context())
        assert "STARTTLS" not in await client.say("EHLO again")
        assert (await client.mail(LETTER)).startswith("250 ")
        (message,) = office.intake.messages
        assert message.session.tls is not None
        assert (message.session.tls.version, message.session.protocol) == ("TLSv1.3", "ESMTPS")
        assert b"with ESMTPS (TLSv1.3 TLS_" in octets_of(message)


async def test_a_listener_that_requires_tls_refuses_mail_before_it(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    wanted = listener(tls="starttls", require_tls=True)
    async with open_office(tmp_path, wanted, certificates=certificates) as office:
        client = await office.client()
        await client.greet()
        assert await client.say("MAIL FROM:<a@example.com>") == "530 5.7.0 Must issue a STARTTLS command first"
        await client.start_tls(authority.client_context())
        await client.say("EHLO again")
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_plain_text_behind_starttls_is_thrown_away_and_noted(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    async with open_office(tmp_path, listener(tls="starttls"), certificates=certificates) as office:
        client = await office.client()
        await client.greet()
        client.send("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.com>\r\n")
        assert (await client.reply()).startswith("220 ")
        await client.writer.start_tls(authority.client_context(), server_hostname=HOSTNAME)
        assert await client.say("RCPT TO:<b@example.net>") == "503 5.5.2 Send hello first"
        assert "octets of plain text" in str(office.intake.refusals("starttls")[0]["reason"])


async def test_implicit_tls_speaks_first_after_the_handshake(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    async with open_office(tmp_path, listener(tls="implicit"), certificates=certificates) as office:
        client = await office.client(tls=authority.client_context())
        await client.greet()
        assert (await client.mail(LETTER)).startswith("250 ")
        assert office.intake.messages[0].session.protocol == "ESMTPS"


async def test_a_port_scanner_on_the_tls_port_is_noted_and_counted_out(
    tmp_path: Path, certificates: ServerCertificates
) -> None:
    async with open_office(tmp_path, listener(tls="implicit"), certificates=certificates) as office:
        client = await office.client()
        client.send("GET / HTTP/1.0\r\n\r\n")
        await client.rest()
        while office.receiver.open_connections["in"]:
            await asyncio.sleep(0)
        assert office.intake.refusals("tls")[0]["reason"] == "TLS handshake failed: http request"
        assert office.receiver.statistics.handshakes_failed == 1


async def test_tls_1_1_is_refused_by_default_and_taken_by_the_legacy_profile(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    old = authority.client_context()
    with pytest.warns(DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    modern, legacy = listener(tls="implicit"), listener(name="old", tls="implicit", profile="legacy")
    async with open_office(tmp_path, modern, legacy, certificates=certificates) as office:
        with pytest.raises(ssl.SSLError):
            await office.client(tls=old)
        client = await office.client("old", tls=old)
        await client.greet()
        assert (await client.mail(LETTER)).startswith("250 ")
        tls = office.intake.messages[0].session.tls
        assert tls is not None and tls.version == "TLSv1.1"


async def test_a_client_certificate_lets_its_connector_in(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    flow = policy(inbound=[{"name": "partner", "certificates": ["client.example.net"], "recipients": "any"}])
    wanted = listener(tls="starttls", client_certificates=True)
    async with open_office(tmp_path, wanted, flow=flow, certificates=certificates) as office:
        stranger = await office.client()
        await stranger.greet()
        await stranger.start_tls(authority.client_context())
        await stranger.say("EHLO x")
        assert (await stranger.say("MAIL FROM:<a@example.com>")).startswith("530 ")
        partner = await office.client()
        await partner.greet()
        pair = authority.issue("client.example.net", as_file="client")
        await partner.start_tls(authority.client_context(pair))
        await partner.say("EHLO x")
        assert (await partner.mail(LETTER)).startswith("250 ")
        (message,) = office.intake.messages
        assert str(message.session.principal) == "inbound_connector:partner"
        assert message.session.tls is not None
        assert message.session.tls.peer_names == ("client.example.net",)


async def test_a_client_certificate_of_a_foreign_authority_ends_the_handshake(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = Authority(tmp_path / "foreign").issue("client.example.net", as_file="client")
    wanted = listener(tls="implicit", client_certificates=True)
    async with open_office(tmp_path, wanted, flow=STRANGERS, certificates=certificates) as office:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await (await office.client(tls=authority.client_context(foreign))).greet()
        while office.receiver.open_connections["in"]:
            await asyncio.sleep(0)
        assert "unable to get local issuer" in str(office.intake.refusals("tls")[0]["reason"])


async def test_a_renewed_certificate_is_shown_to_new_sessions_while_old_ones_go_on(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    async with open_office(tmp_path, listener(tls="implicit"), certificates=certificates) as office:
        before = await office.client(tls=authority.client_context())
        await before.greet()
        assert office.receiver.reload_certificates() is None
        renewed = authority.issue(HOSTNAME, "renewed.example", as_file="renewed")
        for old, new in ((certificates.certificate, renewed.certificate), (certificates.key, renewed.key)):
            old.write_bytes(new.read_bytes())
            os.utime(old, ns=(1, 1))
        assert office.receiver.reload_certificates() == Reloaded()
        after = await office.client(tls=authority.client_context())
        await after.greet()
        shown = after.writer.get_extra_info("peercert")
        assert ("DNS", "renewed.example") in shown["subjectAltName"]
        assert (await before.mail(LETTER)).startswith("250 ")
        certificates.certificate.write_text("broken")
        assert isinstance(office.receiver.reload_certificates(), KeptOld)
        again = await office.client(tls=authority.client_context())
        assert "250 " in await again.greet()


async def test_without_a_certificate_a_self_signed_one_is_made_and_used(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    made = open_certificates(TlsSettings(), tmp_path / "tls", HOSTNAME, datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(made.certificate))
    async with open_office(tmp_path, listener(tls="implicit"), certificates=made) as office:
        client = await office.client(tls=context)
        assert "250 " in await client.greet()


async def test_a_start_with_broken_certificates_names_all_listeners_and_opens_none(tmp_path: Path) -> None:
    missing = ServerCertificates(tmp_path / "no.pem", tmp_path / "no.key")
    with pytest.raises(ReceiveProblem) as caught:
        async with open_office(
            tmp_path, listener(tls="implicit"), listener(name="two", tls="starttls"), certificates=missing
        ):
            pass
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["listener 'in'", "listener 'two'"]
    assert "no.pem: no such file" in caught.value.problems[0]


async def test_a_port_in_use_is_named_with_its_meaning(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        taken = f"127.0.0.1:{office.port()}"
        with pytest.raises(ReceiveProblem, match="the port is in use by another program"):
            async with open_office(tmp_path, listener(address=taken)):
                pass
        with pytest.raises(ReceiveProblem, match="this machine does not have that address"):
            async with open_office(tmp_path, listener(address="192.0.2.1:0")):
                pass


PROXY_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c6336407 7f000001 9c40 0019".replace(" ", ""))


@pytest.mark.parametrize("header", [b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 25\r\n", PROXY_V2], ids=["v1", "v2"])
async def test_the_address_behind_a_trusted_proxy_counts(tmp_path: Path, header: bytes) -> None:
    flow = policy(inbound=[{"name": "far", "networks": ["198.51.100.0/24"], "recipients": "any"}])
    async with open_office(tmp_path, listener(proxy_from=["127.0.0.0/8"]), flow=flow) as office:
        client = await office.client()
        client.send(header[:9])
        await client.writer.drain()
        client.send(header[9:] + b"EHLO x\r\n")
        assert (await client.reply()).startswith("220 ")
        assert "250 " in await client.reply()
        assert (await client.mail(LETTER)).startswith("250 ")
        session = office.intake.messages[0].session
        assert (session.peer_ip, session.peer_port) == ("198.51.100.7", 40000)


async def test_tls_may_follow_the_proxy_header_at_once(
    tmp_path: Path, authority: Authority, certificates: ServerCertificates
) -> None:
    wanted = listener(tls="implicit", proxy_from=["127.0.0.0/8"])
    async with open_office(tmp_path, wanted, certificates=certificates) as office:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname=HOSTNAME)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client = await office.client()
        client.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 40000 25\r\n" + outgoing.read())
        incoming.write(await client.reader.read(65536))
        tls.do_handshake()
        client.send(outgoing.read())
        banner = b""
        while not banner:
            incoming.write(await client.reader.read(65536))
            try:
                banner = tls.read(1000)
            except ssl.SSLWantReadError:
                continue
        assert banner.startswith(b"220 relay.example ")


async def test_a_trusted_proxy_without_a_header_is_closed_without_a_word(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(proxy_from=["127.0.0.0/8"])) as office:
        client = await office.client()
        client.send("EHLO x\r\n")
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        assert office.intake.refusals("connect")[0]["reason"] == "no PROXY header"


async def test_a_proxy_header_from_elsewhere_is_not_believed(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(proxy_from=["192.0.2.0/24"])) as office:
        client = await office.client()
        client.send("PROXY TCP4 198.51.100.7 127.0.0.1 40000 25\r\n")
        assert (await client.reply()).startswith("220 ")
        assert (await client.reply()).startswith("500 ")
