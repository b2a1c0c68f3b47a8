"""Tables, times and sizes as people see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from posthouse.operate.cli.options import MOMENT
from posthouse.operate.cli.output import Row, format_table, show_distance, show_length, show_size, show_time

NOW = datetime(2026, 1, 31, 14, 0, 5, tzinfo=UTC)
COLUMNS = ("ID", "STATUS", "SENDER > RECIPIENT")
LONG = Row(
    ("06H2V3K4M5N6P", "Pending", "a-rather-long-sender@department.example.com > someone.else@far-away.example.org"),
    note="451 4.7.1 " + "please try again later " * 8,
)


def plain(lines: list[str]) -> list[str]:
    return [click.unstyle(line) for line in lines]


def test_a_table_fits_a_terminal_of_80_columns() -> None:
    lines = plain(format_table(COLUMNS, [LONG], flexible=2, width=80))
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith("…")
    assert " ".join(" ".join(lines[2:]).split()) == LONG.note.strip()


def test_a_table_in_a_pipe_is_complete() -> None:
    lines = plain(format_table(COLUMNS, [LONG], flexible=2, width=None))
    assert lines[1].endswith(LONG.cells[2])
    assert lines[2].strip() == LONG.note.strip()
    assert len(lines) == 3


def test_columns_are_aligned() -> None:
    rows = [Row(("1", "Held", "x")), Row(("1000", "Delivered", "y"))]
    lines = plain(format_table(COLUMNS, rows, flexible=2, width=80))
    assert [line.rstrip() for line in lines] == [
        "ID    STATUS     SENDER > RECIPIENT",
        "1     Held       x",
        "1000  Delivered  y",
    ]


def test_control_characters_are_made_visible() -> None:
    (_, line) = plain(format_table(("A",), [Row(("\x1b[2Jgone\x00",))], flexible=0, width=80))
    assert "\x1b" not in line and "\x00" not in line and "gone" in line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (45, "in 45 s"),
        (240, "in 4 min"),
        (5400, "in 2 h"),
        (86400, "in 1 d"),
        (-30, "30 s ago"),
        (-7200, "2 h ago"),
    ],
)
def test_distances_in_words(seconds: int, words: str) -> None:
    assert show_distance(NOW + timedelta(seconds=seconds), NOW) == words


def test_lengths_and_sizes_in_words() -> None:
    assert show_length(timedelta(days=3)) == "3 d"
    assert [show_size(n) for n in (0, 999, 4200, 350_000, 35_000_000, 2_000_000_000)] == [
        "0 B",
        "999 B",
        "4.2 kB",
        "350 kB",
        "35.0 MB",
        "2.0 GB",
    ]
    assert show_time(NOW) == "2026-01-31 14:00:05Z"


def test_times_are_read_as_distances_or_in_iso_form() -> None:
    assert MOMENT.convert("2026-01-31", None, None) == datetime(2026, 1, 31, tzinfo=UTC)
    assert MOMENT.convert("2026-01-31T14:00+02:00", None, None) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    before = datetime.now(UTC)
    assert before - timedelta(hours=2) <= MOMENT.convert("2h", None, None) <= datetime.now(UTC) - timedelta(hours=2)
    for wrong in ("soon", "2", "-3h", "999999999999d"):
        with pytest.raises(click.BadParameter):
            MOMENT.convert(wrong, None, None)
