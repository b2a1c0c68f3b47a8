"""Looking into mailboxes: answers in other shapes than Graph's prove nothing, and break nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.deliver.graph_stub import MAILBOX, Stub
from tests.unit.deliver.jobs import HASTE, NOW, message

from posthouse.deliver.graph.listing import address_of
from posthouse.deliver.graph.verify import GraphClients, GraphVerifier
from posthouse.mail.address import Address
from posthouse.mail.message import HeaderFacts
from posthouse.queue.port import Found, Lost


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Stub]:
    stub = Stub(tmp_path)
    await stub.start()
    yield stub
    await stub.stop()


@pytest.mark.parametrize(
    "people",
    [7, "x", {}, [7], [{"emailAddress": None}], [{"emailAddress": "bob@contoso.example"}], [{"emailAddress": []}]],
)
async def test_an_item_whose_recipients_are_nonsense_names_nobody(graph: Stub, people: object) -> None:
    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.Response(status=200, body=json.dumps({"value": [{"id": "1", "toRecipients": people}]}).encode())

    graph.answers = [answer]
    letter = replace(message(("bob@contoso.example",)), header=HeaderFacts(message_id="<1@contoso.example>"))
    lost = Lost(
        message=letter,
        recipients={0: Address.parse("bob@contoso.example")},
        mailboxes=(MAILBOX,),
        since=NOW,
        has_delivered=True,
    )
    clients = GraphClients(graph.token_source(), HASTE)
    looked = await GraphVerifier(clients).look_up(graph.way(), lost, NOW)
    await clients.close()
    assert not isinstance(looked[0], Found)


def test_only_an_address_is_an_address() -> None:
    assert address_of({"emailAddress": {"address": "a@b.example"}}) == "a@b.example"
    assert [address_of(p) for p in (None, 7, {"emailAddress": None}, {"emailAddress": {"address": 7}})] == [""] * 4
