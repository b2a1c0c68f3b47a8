"""The commands' side of the control API: the standard library's HTTP over a Unix socket, quick to start.

Shape: `NodeClient.call` makes one request; `submit` hands in a message. `connect_to_node` says whether a node runs.
Failures: `Refusal` values as the node gave them; `NodeGone` when the node ends in the middle of a request.
"""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path

import msgspec

from posthouse.operate.operations import AnswerT, Operation, RequestT
from posthouse.operate.shapes import Refusal, SubmissionEnvelope, Submitted

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0


class NodeGone(Exception):
    """The node ended, or did not answer in time, after it had been asked."""


class NoAccess(Exception):
    """A node runs, but this user may not speak to it."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(os.fspath(self._path))
        self.sock.settimeout(ANSWER_SECONDS)


def connect_to_node(path: Path) -> NodeClient | None:
    """A client of the node that listens on `path`, or None when none runs.

    Raises:
        NoAccess: The socket is there and this user may not use it.
    """
    connection = _UnixConnection(path)
    try:
        connection.connect()
    except PermissionError as error:
        raise NoAccess(f"{path}: this user may not speak to the node") from error
    except OSError:
        return None
    return NodeClient(connection)


class NodeClient:
    """One connection to the running node."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def call(self, operation: Operation[RequestT, AnswerT], request: RequestT) -> AnswerT | Refusal:
        """Ask the node for one operation."""
        body = msgspec.json.encode(request)
        return self._ask(f"/v1/{operation.name}", [body], len(body), "application/json", operation.answer)

    def submit(self, envelope: SubmissionEnvelope, content: bytes) -> Submitted | Refusal:
        """Hand in a message."""
        head = msgspec.json.encode(envelope) + b"\n"
        return self._ask(
            "/v1/messages", [head, content], len(head) + len(content), "application/octet-stream", Submitted
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(
        self, path: str, body: list[bytes], octets: int, media_type: str, answer: type[AnswerT]
    ) -> AnswerT | Refusal:
        headers = {"Content-Type": media_type, "Content-Length": str(octets)}
        try:
            self._connection.request("POST", path, body=iter(body), headers=headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NodeGone(f"the node did not answer: {error or type(error).__name__}") from error
        shape: type[AnswerT] | type[Refusal] = answer if response.status == 200 else Refusal
        try:
            return msgspec.json.decode(data, type=shape)
        except msgspec.MsgspecError as error:
            raise NodeGone(f"the node answered {response.status} with something that is not understood") from error
