"""Messages as devices, programs and other servers send them, with what is found in each (``tests/golden/messages``)."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posthouse.mail.address import Address
from posthouse.mail.ids import make_message_id
from posthouse.wire.downgrade import SevenBit, fits_seven_bit, to_seven_bit
from posthouse.wire.header import HeaderIndex, facts
from posthouse.wire.mime import walk
from posthouse.wire.notice_words import show_delay
from posthouse.wire.received import hops
from posthouse.wire.repair import repairs

DIRECTORY = Path(__file__).parents[2] / "golden" / "messages"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((DIRECTORY / "expected.toml").read_text())


def read(name: str) -> bytes:
    return (DIRECTORY / f"{name}.eml").read_bytes()


def test_every_message_has_its_expectation() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.eml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_facts_for_the_trace(name: str) -> None:
    found, expected = facts(read(name)), EXPECTED[name]
    assert (found.subject, found.from_address) == (expected["subject"], expected["from"])
    assert (found.message_id, found.received_count) == (expected["message_id"], expected["received"])


@pytest.mark.parametrize("name", EXPECTED)
def test_what_submission_adds(name: str) -> None:
    found = repairs(
        read(name),
        at=datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC),
        message_id=make_message_id(1_795_284_476_000, 77),
        hostname="relay.example.com",
        sender=Address("device", "example.com"),
        add_from=True,
    )
    lines = found.prefix.decode().split("\r\n")
    added = [line.partition(":")[0] or "blank line" for line in lines[:-1]]
    assert added == EXPECTED[name]["added"]
    assert len(found.sentences) == len(added)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_parts(name: str) -> None:
    assert [part.content_type.media_type for part in walk(read(name))] == EXPECTED[name]["parts"]


@pytest.mark.parametrize("name", EXPECTED)
def test_what_becomes_of_it_before_a_seven_bit_server(name: str) -> None:
    result = to_seven_bit(read(name))
    if isinstance(result, SevenBit):
        assert fits_seven_bit(result.data)
        shown = f"{result.encoded_parts} part encoded" if result.encoded_parts else "fits"
    else:
        shown = result.reason
    assert shown == EXPECTED[name]["seven_bit"]


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if "hops" in expected])
def test_the_way_of_the_message(name: str) -> None:
    found = [
        f"{hop.from_host} -> {hop.by_host}, {hop.protocol}, {show_delay(hop.delay)}"
        for hop in hops(HeaderIndex.scan(read(name)))
    ]
    assert found == EXPECTED[name]["hops"]
