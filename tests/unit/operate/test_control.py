"""The control socket: who may speak to it, and how it is made."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operate.conftest import FLOW, NODE

from posthouse.config import load
from posthouse.operate import shapes
from posthouse.operate.client import NoAccess, NodeClient, connect_to_node
from posthouse.operate.control import ControlServer, SocketInUse, bind_socket
from posthouse.operate.operations import QUEUE_CHANGE, QUEUE_LIST, TRACE_FOLLOW
from posthouse.operate.services import Services
from posthouse.operate.settings import ControlSettings
from posthouse.service.kept import offline

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def settings_in(tmp_path: Path, **changes: Any) -> ControlSettings:
    return ControlSettings(socket=tmp_path / "c.sock", **changes)


@asynccontextmanager
async def serving(tmp_path: Path, **changes: Any) -> AsyncIterator[Path]:
    """The control API over a real store."""
    (tmp_path / "posthouse.toml").write_text(NODE)
    (tmp_path / "flow.toml").write_text(FLOW)
    settings = settings_in(tmp_path, **changes)
    async with offline(load(tmp_path)) as parts:
        services = Services(
            parts,
            flow_file=tmp_path / "flow.toml",
            judge=lambda text: (),
            node=None,
            clock=lambda: datetime.now(UTC),
        )
        server = ControlServer(services, settings)
        await server.start()
        try:
            yield settings.socket
        finally:
            await server.close()
    assert not settings.socket.exists()


async def in_thread(path: Path, work: Any) -> Any:
    def call() -> Any:
        client = connect_to_node(path)
        assert client is not None
        try:
            return work(client)
        finally:
            client.close()

    return await asyncio.to_thread(call)


def test_the_socket_is_private_from_its_first_moment(tmp_path: Path) -> None:
    with bind_socket(tmp_path / "c.sock", settings_in(tmp_path)):
        assert stat.S_IMODE((tmp_path / "c.sock").stat().st_mode) == 0o600


def test_everybody_may_reach_it_only_when_told_so(tmp_path: Path) -> None:
    with bind_socket(tmp_path / "c.sock", settings_in(tmp_path, submission="everyone")):
        assert stat.S_IMODE((tmp_path / "c.sock").stat().st_mode) == 0o666


def test_a_socket_that_a_dead_node_left_is_replaced(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    bind_socket(settings.socket, settings).close()
    assert settings.socket.exists()
    bind_socket(settings.socket, settings).close()


def test_a_socket_that_a_node_answers_on_is_left_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with bind_socket(settings.socket, settings), pytest.raises(SocketInUse):
        bind_socket(settings.socket, settings)


def test_a_path_that_is_too_long_is_explained(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(OSError, match=r"\[control\] socket"):
        bind_socket(path, ControlSettings(socket=path))


def test_without_a_node_there_is_nobody_to_connect_to(tmp_path: Path) -> None:
    assert connect_to_node(tmp_path / "c.sock") is None
    bind_socket(tmp_path / "c.sock", settings_in(tmp_path)).close()
    assert connect_to_node(tmp_path / "c.sock") is None


async def test_answers_and_refusals_come_back_as_they_were_meant(tmp_path: Path) -> None:
    def work(client: NodeClient) -> None:
        assert client.call(QUEUE_LIST, shapes.QueueSelection()) == shapes.QueueRows(())
        refusal = client.call(QUEUE_LIST, shapes.QueueSelection(ids=("wrong",)))
        assert isinstance(refusal, shapes.Refusal) and refusal.code == "invalid"
        followed = client.call(TRACE_FOLLOW, shapes.FollowRequest())
        assert followed == shapes.FollowedEvents((), 0)

    async with serving(tmp_path) as path:
        await in_thread(path, work)


async def test_a_message_of_any_octets_is_taken_and_bears_the_name_of_its_user(tmp_path: Path) -> None:
    content = b"Subject: x\r\n\r\n" + bytes(range(1, 10)) + b"\xff\xfe\r\n" * 100_000
    envelope = shapes.SubmissionEnvelope(sender="a@example.com", recipients=("b@example.org",))

    def work(client: NodeClient) -> None:
        assert isinstance(client.submit(envelope, content), shapes.Submitted)
        rows = client.call(QUEUE_LIST, shapes.QueueSelection())
        assert isinstance(rows, shapes.QueueRows) and len(rows.copies) == 1
        action = shapes.QueueAction(action="hold", selection=shapes.QueueSelection())
        changed = client.call(QUEUE_CHANGE, action)
        assert isinstance(changed, shapes.QueueChanged) and changed.copies == 1
        events = client.call(TRACE_FOLLOW, shapes.FollowRequest(cursor=0))
        assert isinstance(events, shapes.FollowedEvents)
        newest = client.call(TRACE_FOLLOW, shapes.FollowRequest())
        assert isinstance(newest, shapes.FollowedEvents) and newest.cursor == events.cursor
        assert any("by" in event.fields for event in events.events if event.event == "held")

    async with serving(tmp_path) as path:
        await in_thread(path, work)


async def test_an_announced_body_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    def work(client: NodeClient) -> bytes:
        connection: Any = client._connection
        connection.sock.sendall(b"POST /v1/queue/list HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        return bytes(connection.sock.recv(4096))

    async with serving(tmp_path) as path:
        assert b" 422 " in (await in_thread(path, work)).partition(b"\r\n")[0]


async def test_a_body_of_unknown_length_is_not_read(tmp_path: Path) -> None:
    def work(client: NodeClient) -> bytes:
        connection: Any = client._connection
        connection.sock.sendall(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
        )
        return bytes(connection.sock.recv(4096))

    async with serving(tmp_path) as path:
        assert b" 422 " in (await in_thread(path, work)).partition(b"\r\n")[0]


async def test_a_request_that_is_no_json_gets_an_answer(tmp_path: Path) -> None:
    def work(client: NodeClient) -> int:
        connection: Any = client._connection
        connection.request("POST", "/v1/queue/list", body=b"{", headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return int(response.status)

    async with serving(tmp_path) as path:
        assert await in_thread(path, work) == 422


async def test_the_api_describes_itself(tmp_path: Path) -> None:
    def work(client: NodeClient) -> bytes:
        connection: Any = client._connection
        connection.request("GET", "/openapi.json")
        return bytes(connection.getresponse().read())

    async with serving(tmp_path) as path:
        described = await in_thread(path, work)
    for name in (b"/v1/queue/list", b"/v1/messages", b"QueueSelection", b"StoryView", b"NodeStatus"):
        assert name in described


AS_NOBODY = f"""
import os, sys
from pathlib import Path
from posthouse.operate import shapes
from posthouse.operate.client import connect_to_node
from posthouse.operate.operations import QUEUE_LIST
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
client = connect_to_node(Path(sys.argv[1]))
print(client.call(QUEUE_LIST, shapes.QueueSelection()))
envelope = shapes.SubmissionEnvelope(sender="a@example.com", recipients=("b@example.org",))
print(client.submit(envelope, b"Subject: x\\r\\n\\r\\n"))
"""


async def as_nobody(path: Path) -> str:
    for parent in path.parents[:4]:
        parent.chmod(parent.stat().st_mode | 0o011)
    command = [sys.executable, "-c", AS_NOBODY, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    return done.stdout + done.stderr


@needs_root
async def test_another_user_may_not_speak_to_the_node(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        assert NoAccess.__name__ in await as_nobody(path)


@needs_root
async def test_another_user_may_hand_in_mail_and_nothing_else_when_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path, submission="everyone") as path:
        said = (await as_nobody(path)).splitlines()
    assert said[0].startswith("Refusal(code='forbidden'")
    assert said[1].startswith("Submitted(")


def test_sockets_of_other_kinds_are_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    path.write_text("precious")
    with pytest.raises(OSError):
        bind_socket(path, ControlSettings(socket=path))
    assert path.read_text() == "precious"
