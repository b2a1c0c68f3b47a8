"""`Connection` over real sockets, plain and with TLS, both sides."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path

import pytest
from tests.unit.net.authority import Authority
from tests.unit.net.peers import Echo, Recorder, serving

from posthouse.net.connect import open_connection
from posthouse.net.connection import Connection
from posthouse.net.contexts import ClientTls, server_context
from posthouse.net.handler import LOCAL, REMOTE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("mail.example.com")
    return server_context(pair.certificate, pair.key)


async def connect(port: int) -> Recorder:
    _, handler = await open_connection("127.0.0.1", port, handler=Recorder, timeout=5)
    return handler


async def test_octets_travel_both_ways() -> None:
    server = Echo()
    async with serving(lambda: server) as port:
        client = await connect(port)
        client.connection.write(b"hello ")
        client.connection.write(b"there")
        await client.until_data(b"hello there")
        assert server.connection.peer.port == client.connection.local.port
        client.connection.close()
        await server.closing.wait()
        await client.closing.wait()
    assert (client.reason, server.reason) == (LOCAL, REMOTE)
    assert server.calls[-2:] == ["ended", "closed"]


async def test_writes_of_one_callback_leave_in_one_piece() -> None:
    class Chatty(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            for piece in (b"a", b"b", b"c"):
                connection.write(piece)

    async with serving(Chatty) as port:
        client = await connect(port)
        await client.until(lambda: len(client.data) >= 3)
        assert client.calls.count("received") == 1
        client.connection.abort()


async def test_start_tls_secures_both_sides_and_octets_travel(context: ssl.SSLContext, authority: Authority) -> None:
    class StartTls(Echo):
        def received(self, data: memoryview | bytes) -> None:
            if self.connection.tls is None:
                self.connection.write(b"go\n")
                self.connection.start_tls(context, server_side=True)
            else:
                super().received(data)

    server = StartTls()
    async with serving(lambda: server) as port:
        client = await connect(port)
        client.connection.write(b"STARTTLS\n")
        await client.until_data(b"go\n")
        client.data.clear()
        tls = ClientTls.towards("mail.example.com", "domain", ca=authority.file)
        client.connection.start_tls(tls.context, server_side=False, server_hostname=tls.server_hostname)
        client.connection.write(b"over tls")
        await client.until_data(b"over tls")
        assert client.facts is not None and server.facts is not None
        assert client.facts.version == server.facts.version == "TLSv1.3"
        assert client.facts.peer_names == ("mail.example.com",)
        assert tls.problem(client.facts) is None
        assert server.facts.peer_names == ()
        client.connection.close()
        await server.closing.wait()
    assert server.reason == REMOTE


async def test_megabytes_pass_through_tls_with_backpressure(context: ssl.SSLContext) -> None:
    payload = bytes(range(256)) * 16384

    class Slow(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

        def received(self, data: memoryview | bytes) -> None:
            super().received(data)
            self.connection.pause_reading()
            asyncio.get_running_loop().call_soon(self.connection.resume_reading)

    server = Slow()
    async with serving(lambda: server) as port:
        client = await connect(port)
        tls = ClientTls.towards("mail.example.com", "encryption")
        client.connection.start_tls(tls.context, server_side=False)
        for start in range(0, len(payload), 65536):
            await client.until(lambda: client.connection.is_writable)
            client.connection.write(payload[start : start + 65536])
            client.connection.flush()
        await server.until(lambda: len(server.data) >= len(payload))
        assert bytes(server.data) == payload
        assert "writable" in client.calls
        client.connection.close()
        await server.closing.wait()


async def test_handshake_octets_behind_a_prefix_are_handed_in(context: ssl.SSLContext, authority: Authority) -> None:
    prefix = b"PROXY ...\r\n"

    class Prefixed(Echo):
        def received(self, data: memoryview | bytes) -> None:
            if self.connection.tls is None:
                self.connection.start_tls(context, server_side=True, received=bytes(data)[len(prefix) :])
            else:
                super().received(data)

    async with serving(Prefixed) as port:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="mail.example.com")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(prefix + outgoing.read())
        incoming.write(await reader.read(65536))
        tls.do_handshake()
        tls.write(b"echo me")
        writer.write(outgoing.read())
        while True:
            incoming.write(await reader.read(65536))
            try:
                assert tls.read(100) == b"echo me"
                break
            except ssl.SSLWantReadError:
                continue
        writer.close()


async def test_a_port_scanner_ends_as_a_quiet_reason(context: ssl.SSLContext) -> None:
    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        client = await connect(port)
        client.connection.write(b"GET / HTTP/1.1\r\n\r\n")
        await server.closing.wait()
        await client.closing.wait()
    assert server.reason == "TLS handshake failed: http request"
    assert isinstance(server.error, ssl.SSLError)


async def test_a_handshake_has_a_time_limit(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.net.connection.HANDSHAKE_SECONDS", 0.0)

    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        await connect(port)
        await server.closing.wait()
    assert server.reason == "TLS handshake timed out"


async def test_a_certificate_for_another_name_is_named(context: ssl.SSLContext, authority: Authority) -> None:
    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    async with serving(Implicit) as port:
        client = await connect(port)
        tls = ClientTls.towards("other.example.com", "domain", ca=authority.file)
        client.connection.start_tls(tls.context, server_side=False, server_hostname=tls.server_hostname)
        await client.until(lambda: client.facts is not None)
        assert client.facts is not None
        assert (
            tls.problem(client.facts) == "the server's certificate is for mail.example.com, not for other.example.com"
        )
        client.connection.abort()


async def test_an_unknown_authority_ends_the_client_with_its_reason(context: ssl.SSLContext) -> None:
    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        client = await connect(port)
        tls = ClientTls.towards("mail.example.com", "certificate")
        client.connection.start_tls(tls.context, server_side=False, server_hostname=tls.server_hostname)
        await client.closing.wait()
        await server.closing.wait()
    assert isinstance(client.error, ssl.SSLCertVerificationError)
    assert "unable to get local issuer certificate" in client.reason


async def test_a_half_closed_peer_still_reads_the_answer() -> None:
    class AnswersLate(Recorder):
        def ended(self) -> None:
            self._note("ended")
            self.connection.write(b"late answer")
            self.connection.close()

    async with serving(AnswersLate) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == b"late answer"
        writer.close()


async def test_last_words_reach_a_peer_that_still_sends() -> None:
    class Refuses(Recorder):
        def received(self, data: memoryview | bytes) -> None:
            super().received(data)
            self.connection.write(b"421 no\r\n")
            self.connection.close(linger=True)

    server = Refuses()
    async with serving(lambda: server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 300_000)
        await server.until(lambda: "received" in server.calls)
        writer.write(b"x" * 300_000)
        assert await reader.read() == b"421 no\r\n"
        writer.close()
        await server.closing.wait()
    assert server.reason == LOCAL


async def test_a_peer_that_never_reads_is_cut_off() -> None:
    class Floods(Recorder):
        def received(self, data: memoryview | bytes) -> None:
            for _ in range(100):
                self.connection.write(b"y" * 1_000_000)
                self.connection.flush()

    server = Floods()
    async with serving(lambda: server) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"go")
        await server.closing.wait()
        writer.close()
    assert server.reason == "the peer does not read what we send"


async def test_a_refused_connection_is_an_os_error() -> None:
    async with serving(Recorder) as port:
        pass
    with pytest.raises(OSError):
        await open_connection("127.0.0.1", port, handler=Recorder, timeout=5)


async def test_last_words_to_a_peer_that_was_reset_are_no_error() -> None:
    server = Recorder()
    async with serving(lambda: server) as port:
        peer = socket.create_connection(("127.0.0.1", port))
        await server.until(lambda: "connected" in server.calls)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        server.connection.write(b"421 bye\r\n")
        server.connection.close(linger=True)
        await server.closing.wait()
    assert server.calls.count("closed") == 1


async def test_a_broken_record_ends_the_connection_with_its_reason(context: ssl.SSLContext) -> None:
    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        client = await connect(port)
        client.connection.start_tls(ClientTls.towards("x", "encryption").context, server_side=False)
        await client.until(lambda: client.facts is not None)
        client.connection._transport.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await server.closing.wait()
    assert server.reason.startswith("TLS failed: ")
    assert isinstance(server.error, ssl.SSLError)


async def test_a_peer_that_leaves_in_mid_handshake_is_told_as_that(context: ssl.SSLContext) -> None:
    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(context, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        client = await connect(port)
        client.connection.write(b"\x16\x03\x01")
        client.connection.close()
        await server.closing.wait()
    assert server.reason == "the peer closed during the TLS handshake"


async def test_a_client_certificate_proves_its_name_to_the_server(authority: Authority) -> None:
    pair, device = authority.issue("mail.example.com"), authority.issue("device.example.com", as_file="device")
    asking = server_context(pair.certificate, pair.key, ask_client=True, client_ca=authority.file)

    class Implicit(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.start_tls(asking, server_side=True)

    server = Implicit()
    async with serving(lambda: server) as port:
        client = await connect(port)
        tls = ClientTls.towards(
            "mail.example.com", "domain", ca=authority.file, certificate=device.certificate, key=device.key
        )
        client.connection.start_tls(tls.context, server_side=False, server_hostname=tls.server_hostname)
        await server.until(lambda: server.facts is not None)
        assert server.facts is not None
        assert server.facts.peer_names == ("device.example.com",)
        client.connection.abort()


async def test_what_was_written_before_close_arrives_and_what_comes_after_does_not() -> None:
    class Says(Recorder):
        def connected(self, connection: Connection) -> None:
            super().connected(connection)
            connection.send(b"one ")
            connection.write(b"two")
            connection.close()
            connection.write(b" three")
            connection.send(b" four")
            connection.close()

    async with serving(Says) as port:
        client = await connect(port)
        await client.closing.wait()
        assert bytes(client.data) == b"one two"
    assert client.reason == REMOTE


async def test_another_handler_takes_over_and_is_told_the_rest() -> None:
    second = Recorder()

    class First(Recorder):
        def received(self, data: memoryview | bytes) -> None:
            super().received(data)
            second.connection = self.connection
            self.connection.hand_over(second)

    first = First()
    async with serving(lambda: first) as port:
        client = await connect(port)
        client.connection.send(b"one")
        await first.until(lambda: "received" in first.calls)
        client.connection.send(b"two")
        await second.until(lambda: "received" in second.calls)
        client.connection.close()
        await second.closing.wait()
    assert (bytes(first.data), bytes(second.data)) == (b"one", b"two")
    assert "closed" not in first.calls
