"""Where a message ends, and what it holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m365emu.smtp.content import Content, DotReader

ENDS_THAT_ARE_NONE = [
    b"\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n\n.\n\n",
    b"\r\n\x00.\r\n",
]


def read(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    reader, content = DotReader(), b""
    for place, piece in enumerate(pieces):
        taken, rest = reader.feed(piece)
        content += taken
        if rest is not None:
            return content, rest + b"".join(pieces[place + 1 :])
    return content, None


@pytest.mark.parametrize("fake", ENDS_THAT_ARE_NONE)
def test_only_a_dot_between_two_crlf_ends_the_message_in_any_split(fake: bytes) -> None:
    stream = b"first" + fake + b"second\r\n.\r\nMAIL FROM:<next@example>\r\n"
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            content, rest = read([stream[:first], stream[first:second], stream[second:]])
            assert rest == b"MAIL FROM:<next@example>\r\n"
            assert content.startswith(b"first") and content.endswith(b"second\r\n")


def test_an_empty_message_is_a_dot_line_at_once() -> None:
    assert read([b".\r\nQUIT\r\n"]) == (b"", b"QUIT\r\n")


def test_a_dot_that_was_added_is_taken_away_and_only_that() -> None:
    assert read([b"..\r\n.a\r\n...b\r\n.\r\n"]) == (b".\r\na\r\n..b\r\n", b"")


@given(st.lists(st.text(".\r\nab", max_size=6).map(str.encode), max_size=8), st.data())
def test_stuffing_and_reading_gives_the_message_back(lines: list[bytes], data: st.DataObject) -> None:
    message = b"".join(line.replace(b"\r\n", b"") + b"\r\n" for line in lines)
    if message.startswith(b"."):
        stuffed = b"." + message.replace(b"\r\n.", b"\r\n..")
    else:
        stuffed = message.replace(b"\r\n.", b"\r\n..")
    stream = stuffed + b".\r\nrest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(pieces) == (message, b"rest")


def test_lines_that_end_wrongly_are_noticed_across_pieces(tmp_path: Path) -> None:
    sound = Content(limit=100, directory=tmp_path)
    for piece in (b"a\r", b"\nb\r\n"):
        sound.append(piece)
    assert (sound.has_bare_line_feeds, sound.has_bare_carriage_returns) == (False, False)
    broken = Content(limit=100, directory=tmp_path)
    for piece in (b"a\r", b"b\n"):
        broken.append(piece)
    assert (broken.has_bare_line_feeds, broken.has_bare_carriage_returns) == (True, True)


def test_a_large_message_continues_in_a_file_and_is_saved_whole(tmp_path: Path) -> None:
    content = Content(limit=10_000_000, directory=tmp_path)
    for number in range(40):
        content.append(bytes([number]) * 100_000)
    content.save(tmp_path / "message")
    assert (tmp_path / "message").read_bytes() == b"".join(bytes([n]) * 100_000 for n in range(40))
    assert [path.name for path in tmp_path.iterdir()] == ["message"]


def test_octets_beyond_the_limit_are_counted_but_not_kept(tmp_path: Path) -> None:
    content = Content(limit=2_000_000, directory=tmp_path)
    for _ in range(30):
        content.append(b"x" * 100_000)
    assert content.too_big and content.size == 3_000_000 and content.head == b""
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_remembered_not_raised(tmp_path: Path) -> None:
    content = Content(limit=10_000_000, directory=tmp_path / "missing")
    content.append(b"x" * 2_000_000)
    assert content.failed and not content.too_big
