"""Replies as they occur in the world are recognised, all of them, and those of others never."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.unit.microsoft.corpus import corpus

from posthouse.microsoft.excerpt import findings
from posthouse.microsoft.replies import catalogue, find

KNOWN = corpus("known", "field")
OTHERS = corpus("other_servers")


def test_every_reply_of_the_corpus_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for expected, text in KNOWN:
        match = find(text)
        got = match.entry.id if match is not None else "unknown"
        if got != expected:
            wrong.append(f"{expected} was read as {got}: {text[:200]!r}")
    with capsys.disabled():
        rate = 100 * (len(KNOWN) - len(wrong)) / len(KNOWN)
        print(f"\n{rate:.1f} % of {len(KNOWN)} forms of {len(catalogue())} replies are recognised")
    assert wrong == []


def test_nothing_that_other_servers_say_is_taken_for_microsofts(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [f"{who}: {text[:200]!r}" for who, text in OTHERS if find(text) is not None]
    with capsys.disabled():
        print(f"\n{len(wrong)} of {len(OTHERS)} replies of other servers are taken for Microsoft's")
    assert wrong == []


def test_the_reading_of_whole_excerpts_finds_the_same() -> None:
    wrong = []
    for expected, text in KNOWN:
        found = [finding.match.entry.id for finding in findings(text) if finding.match is not None]
        if expected not in found:
            wrong.append(f"{expected} was read as {found}: {text[:200]!r}")
    assert wrong == []
    strays = [text for _, text in OTHERS if any(finding.match is not None for finding in findings(text))]
    assert strays == []


def test_every_entry_has_lines_in_the_corpus() -> None:
    counted = Counter(expected for expected, _ in KNOWN)
    assert [entry.id for entry in catalogue() if not counted[entry.id]] == []
    assert set(counted) - {entry.id for entry in catalogue()} == set()


def test_the_others_are_of_many_kinds() -> None:
    assert len(OTHERS) >= 60
    assert {"postfix", "gmail", "exim", "sendmail", "yahoo"} <= {who for who, _ in OTHERS}
