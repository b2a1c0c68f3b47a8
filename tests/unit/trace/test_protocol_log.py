"""The protocol log: Exchange's format, no credentials, bounded files, and a disk that fails without stopping mail."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posthouse.mail.ids import SessionId
from posthouse.trace.log_file import LogFileName
from posthouse.trace.protocol_log import MAX_WAITING, ProtocolLog, SessionLog
from posthouse.trace.settings import ProtocolLogSettings

START = datetime(2026, 11, 21, 18, 7, 56, 123_000, tzinfo=UTC)
SESSION = SessionId("08D751B8BF60FE0E")


class Clock:
    """A time that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_log(directory: Path, clock: Clock, **settings: object) -> ProtocolLog:
    chosen = ProtocolLogSettings.model_validate({"directory": directory, **settings})
    return ProtocolLog(chosen, hostname="RELAY", version="0.1.0", clock=clock)


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[ProtocolLog]:
    log = make_log(tmp_path, clock)
    yield log
    log.close()


def open_session(log: ProtocolLog, kind: str = "receive") -> SessionLog:
    assert kind in ("receive", "send")
    return log.session(kind, "plain", SESSION, "192.0.2.1:25", "198.51.100.7:40000")  # type: ignore[arg-type]


def rows(log: ProtocolLog, directory: Path) -> list[list[str]]:
    log.flush()
    found: list[list[str]] = []
    for path in sorted(directory.glob("*.log")):
        text = path.read_bytes().decode()
        found += [row for row in csv.reader(text.split("\r\n")[:-1]) if not row[0].startswith("#")]
    return found


def data(log: ProtocolLog, directory: Path) -> list[tuple[str, str]]:
    return [(row[6], row[7]) for row in rows(log, directory)]


def test_a_session_as_exchange_writes_it(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    session.connected()
    session.sent(b'220 relay.example.com ready at Sat, 21 Nov 2026 "18:07"\r\n')
    session.received(b"EHLO printer\r\n")
    session.sent(b"250-relay.example.com Hello [198.51.100.7]\r\n250-SIZE 157286400\r\n250 STARTTLS\r\n")
    session.received(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n")
    session.content(1234)
    session.information("TLSv1.3", "TLS negotiation succeeded")
    session.closed("Remote")
    log.flush()
    stamp = "2026-11-21T18:07:56.123Z,RELAY\\plain,08D751B8BF60FE0E"
    ends = "192.0.2.1:25,198.51.100.7:40000"
    assert (tmp_path / "RECV20261121-0001.log").read_bytes().decode().split("\r\n") == [
        "#Software: Posthouse",
        "#Version: 0.1.0",
        "#Log-Type: SMTP Receive Protocol Log",
        "#Date: 2026-11-21T18:07:56.123Z",
        "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context",
        f"{stamp},0,{ends},+,,",
        f'{stamp},1,{ends},>,"220 relay.example.com ready at Sat, 21 Nov 2026 ""18:07""",',
        f"{stamp},2,{ends},<,EHLO printer,",
        f"{stamp},3,{ends},>,250  relay.example.com Hello [198.51.100.7] SIZE 157286400 STARTTLS,",
        f"{stamp},4,{ends},<,MAIL FROM:<a@example.com>,",
        f"{stamp},5,{ends},<,RCPT TO:<b@example.net>,",
        f'{stamp},6,{ends},*,"message content, 1234 octets",',
        f"{stamp},7,{ends},*,TLSv1.3,TLS negotiation succeeded",
        f"{stamp},8,{ends},-,,Remote",
        "",
    ]


def test_what_we_send_goes_into_its_own_files(log: ProtocolLog, tmp_path: Path) -> None:
    session = log.session("send", "m365", SESSION)
    session.connected("192.0.2.1:50000", "198.51.100.7:25")
    session.line("*", "TLSv1.3")
    session.line(">", "EHLO relay.example.com")
    session.line("<", "250-mx.example.net")
    session.line("<", "250 PIPELINING")
    log.flush()
    text = (tmp_path / "SEND20261121-0001.log").read_text()
    assert "#Log-Type: SMTP Send Protocol Log" in text
    assert [row[4:6] for row in rows(log, tmp_path)] == [["192.0.2.1:50000", "198.51.100.7:25"]] * 4
    assert [row[6:8] for row in rows(log, tmp_path)] == [
        ["+", ""],
        ["*", "TLSv1.3"],
        [">", "EHLO relay.example.com"],
        ["<", "250  mx.example.net PIPELINING"],
    ]


SECRETS = [b"dXNlcjpwYXNz", b"c2VjcmV0LXBhc3N3b3Jk", b"hunter2"]


@pytest.mark.parametrize(
    "dialogue",
    [
        ["C:AUTH PLAIN dXNlcjpwYXNz", "S:235 2.7.0 ok"],
        ["C:auth plain", "S:334 ", "C:dXNlcjpwYXNz", "S:535 5.7.8 no"],
        [
            "C:AUTH LOGIN",
            "S:334 VXNlcm5hbWU6",
            "C:dXNlcjpwYXNz",
            "S:334 UGFzc3dvcmQ6",
            "C:c2VjcmV0LXBhc3N3b3Jk",
            "S:235 ok",
        ],
        ["C:AUTH LOGIN dXNlcjpwYXNz", "S:503 5.5.1 not now", "C:c2VjcmV0LXBhc3N3b3Jk", "S:500 what?"],
        ["C:AUTH dXNlcjpwYXNz", "S:504 unknown mechanism"],
        ["C:AUTHPLAIN dXNlcjpwYXNz", "S:500 unknown"],
        ["C:AUTH=LOGIN dXNlcjpwYXNz", "S:500 unknown"],
        ["C:  AUTH XOAUTH2 dXNlcjpwYXNz", "S:334 c2VjcmV0LXBhc3N3b3Jk", "C:", "S:535 5.7.3 no"],
        ["C:AUTH CRAM-MD5", "S:334 c2VjcmV0LXBhc3N3b3Jk", "C:dXNlcjpwYXNz", "S:235 ok"],
        ["C:AUTH LOGIN", "S:530 5.7.0 TLS first", "C:hunter2", "S:500 what?", "C:hunter2 hunter2", "S:500 what?"],
    ],
)
@pytest.mark.parametrize("kind", ["receive", "send"])
def test_credentials_never_reach_the_file(log: ProtocolLog, tmp_path: Path, kind: str, dialogue: list[str]) -> None:
    session = open_session(log, kind)
    for turn in dialogue:
        is_client, text = turn.startswith("C:"), turn[2:]
        octets = text.encode() + b"\r\n"
        if is_client == (kind == "receive"):
            session.received(octets)
        else:
            session.sent(octets)
    log.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"<authentication information>" in written
    for secret in SECRETS:
        assert secret not in written


def test_a_hint_masks_a_line_whole(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    session.received(b"hunter2\r\n", secret=True)
    session.sent(b"334 hunter2\r\n", secret=True)
    assert data(log, tmp_path) == [("<", "<authentication information>"), (">", "<authentication information>")]


def test_after_a_log_in_the_dialogue_is_shown_again(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    for command, reply in [
        (b"AUTH PLAIN dXNlcjpwYXNz", b"235 2.7.0 ok"),
        (b"MAIL FROM:<a@example.com>", b"250 2.1.0 ok"),
        (b"*", b"500 what?"),
    ]:
        session.received(command + b"\r\n")
        session.sent(reply + b"\r\n")
    assert data(log, tmp_path) == [
        ("<", "AUTH PLAIN <authentication information>"),
        (">", "235 2.7.0 ok"),
        ("<", "MAIL FROM:<a@example.com>"),
        (">", "250 2.1.0 ok"),
        ("<", "<authentication information>"),
        (">", "500 what?"),
    ]


def test_a_cancelled_log_in_shows_the_star(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    session.received(b"AUTH LOGIN\r\n")
    session.received(b"*\r\n")
    assert data(log, tmp_path) == [("<", "AUTH LOGIN"), ("<", "*")]


def test_foreign_protocols_and_control_characters_stay_on_their_line(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    session.received(b"GET / HTTP/1.1\r\n\x16\x03\x01\x00\xff\r\nlong " + b"x" * 100_000 + b"\r\n")
    first, second, third = data(log, tmp_path)
    assert first == ("<", "GET / HTTP/1.1")
    assert second == ("<", "\\x16\\x03\\x01\\x00\\xff")
    assert len(third[1]) == 4096


def test_files_rotate_by_size_and_carry_the_header_each(tmp_path: Path, clock: Clock) -> None:
    log = make_log(tmp_path, clock, max_file=10_000)
    session = open_session(log)
    for _ in range(300):
        session.received(b"NOOP\r\n")
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"RECV20261121-{n:04d}.log" for n in range(1, len(names) + 1)]
    assert len(names) > 2
    for path in tmp_path.iterdir():
        assert path.stat().st_size <= 10_000
        assert path.read_bytes().startswith(b"#Software: ")
    assert [int(row[3]) for row in rows(log, tmp_path)] == list(range(300))


def test_a_new_day_begins_a_new_file(log: ProtocolLog, tmp_path: Path, clock: Clock) -> None:
    session = open_session(log)
    session.received(b"NOOP\r\n")
    clock.now += timedelta(hours=6)
    session.received(b"NOOP\r\n")
    log.flush()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RECV20261121-0001.log", "RECV20261122-0001.log"]


def test_a_restarted_node_goes_on_with_the_file_of_the_day(tmp_path: Path, clock: Clock) -> None:
    for _ in range(2):
        log = make_log(tmp_path, clock)
        open_session(log).received(b"NOOP\r\n")
        log.close()
    (path,) = tmp_path.iterdir()
    assert path.read_text().count("#Software") == 1
    assert path.read_text().count("NOOP") == 2


def test_old_files_go_by_age_and_by_size_and_foreign_files_stay(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "RECV20260101-0001.log").write_text("old")
    (tmp_path / "RECV20261119-0001.log").write_text("x" * 90_000)
    (tmp_path / "RECV20261120-0001.log").write_text("x" * 90_000)
    (tmp_path / "SEND20260101-0001.log").write_text("other direction")
    (tmp_path / "notes.log").write_text("mine")
    log = make_log(tmp_path, clock, max_directory=100_000)
    open_session(log).connected()
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "RECV20261120-0001.log",
        "RECV20261121-0001.log",
        "SEND20260101-0001.log",
        "notes.log",
    ]


def test_a_removed_file_is_made_again(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    session.received(b"NOOP\r\n")
    log.flush()
    (tmp_path / "RECV20261121-0001.log").unlink()
    session.received(b"RSET\r\n")
    assert data(log, tmp_path) == [("<", "RSET")]


def test_a_disk_that_refuses_costs_lines_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    directory = tmp_path / "log"
    directory.write_text("a file where the directory should be")
    log = make_log(directory, clock)
    session = open_session(log)
    session.received(b"NOOP\r\n")
    log.flush()
    assert log.problem is not None
    assert log.lost == 1
    directory.unlink()
    session.received(b"RSET\r\n")
    assert data(log, directory) == [("<", "RSET")]
    assert log.problem is None
    log.close()


def test_rows_beyond_the_bound_are_counted_and_dropped(log: ProtocolLog, tmp_path: Path) -> None:
    session = open_session(log)
    for _ in range(MAX_WAITING + 5):
        session.information("x")
    assert log.lost == 5
    assert len(rows(log, tmp_path)) == MAX_WAITING


def test_the_thread_writes_by_itself_and_close_writes_the_rest(tmp_path: Path, clock: Clock) -> None:
    log = make_log(tmp_path, clock, flush_every="1ms")
    log.start()
    session = open_session(log)
    for _ in range(50):
        session.received(b"NOOP\r\n")
    log.close()
    log.close()
    assert len(rows(log, tmp_path)) == 50


def test_names_of_files_are_read_back() -> None:
    name = LogFileName(START.date(), 12)
    assert name.text("RECV") == "RECV20261121-0012.log"
    assert LogFileName.read("RECV", name.text("RECV")) == name
    for other in ("SEND20261121-0001.log", "RECV20261341-0001.log", "RECV.log", "RECV20261121-0001.log.gz"):
        assert LogFileName.read("RECV", other) is None
