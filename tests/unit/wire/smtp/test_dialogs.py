"""Every dialog in memory: in whole turns, octet by octet, and with everything the client will say sent ahead."""

from __future__ import annotations

import pytest
from tests.dialog import (
    ClientCloses,
    Dialog,
    Expect,
    Handshake,
    Send,
    ServerCloses,
    all_dialogs,
    match_lines,
)
from tests.dialog_memory import MemoryDriver, lines_of

DIALOGS = all_dialogs()


def each_dialog() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)


def start(dialog: Dialog) -> tuple[MemoryDriver, bytearray]:
    driver = MemoryDriver(dialog.scene)
    return driver, bytearray(driver.machine.data_to_send())


def check_result(dialog: Dialog, driver: MemoryDriver) -> None:
    assert len(driver.messages) == len(dialog.messages)
    for message, expected in zip(driver.messages, dialog.messages, strict=True):
        if expected.envelope is not None:
            assert message.envelope == expected.envelope
        if expected.content is not None:
            assert message.content == expected.content
        assert list(message.repairs) == expected.repairs
    assert driver.aborts == dialog.aborts


def play(dialog: Dialog, piece_octets: int) -> None:
    driver, said = start(dialog)
    for step in dialog.steps:
        match step:
            case Send():
                size = piece_octets or len(step.octets)
                for place in range(0, len(step.octets), size):
                    said += driver.feed(step.octets[place : place + size])
            case Expect():
                assert not match_lines(step.patterns, lines_of(bytes(said)))
                said.clear()
            case Handshake():
                driver.machine.secured()
            case ServerCloses():
                assert driver.closed
            case ClientCloses():
                driver.machine.peer_closed()
                driver.pump()
                assert driver.closed
    assert not said
    assert driver.feed(b"NOOP\r\n") == b"" or not driver.closed
    check_result(dialog, driver)


@each_dialog()
def test_the_dialog_goes_as_written_when_each_turn_comes_in_one_piece(dialog: Dialog) -> None:
    play(dialog, 0)


@each_dialog()
def test_the_dialog_goes_as_written_when_it_comes_octet_by_octet(dialog: Dialog) -> None:
    play(dialog, 1)


@each_dialog()
def test_the_dialog_goes_as_written_when_it_comes_in_threes(dialog: Dialog) -> None:
    play(dialog, 3)


@each_dialog()
def test_the_dialog_goes_as_written_when_the_client_does_not_wait_for_replies(dialog: Dialog) -> None:
    driver, said = start(dialog)
    for number, (ahead, patterns) in enumerate(segments(dialog)):
        if number:
            driver.machine.secured()
        said += driver.feed(ahead)
        assert not match_lines(patterns, lines_of(bytes(said)))
        said.clear()
    if any(isinstance(step, ClientCloses) for step in dialog.steps):
        driver.machine.peer_closed()
        driver.pump()
    check_result(dialog, driver)


def segments(dialog: Dialog) -> list[tuple[bytes, list[str]]]:
    """All that the client sends and all that it gets, before and after TLS begins."""
    parts: list[tuple[bytearray, list[str]]] = [(bytearray(), [])]
    for step in dialog.steps:
        match step:
            case Send():
                parts[-1][0].extend(step.octets)
            case Expect():
                parts[-1][1].extend(step.patterns)
            case Handshake():
                parts.append((bytearray(), []))
            case _:
                pass
    return [(bytes(ahead), patterns) for ahead, patterns in parts]


def test_there_are_enough_dialogs_and_each_says_what_it_shows() -> None:
    assert len(DIALOGS) >= 40
    assert all(dialog.title for dialog in DIALOGS)
