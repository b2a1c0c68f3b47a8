"""The catalogue: complete, well-formed, and decided by the sentence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.unit.microsoft.corpus import corpus

from posthouse.mail.outcome import Scope
from posthouse.microsoft.replies import Actor, Entry, catalogue, entry_named, find, plain_run
from posthouse.microsoft.statement import Statement, flatten, statements, without_dump

ENTRIES = catalogue()


def ids(entry: Entry) -> str:
    return entry.id


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_the_example_of_an_entry_is_read_as_this_entry(entry: Entry) -> None:
    match = find(entry.example)
    assert match is not None and match.entry.id == entry.id


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_an_entry_says_all_that_people_need(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.id)
    assert entry.title[0].isupper() and not entry.title.endswith(".")
    for sentence in (entry.meaning, entry.cause, entry.remedy):
        assert sentence.endswith("."), sentence
    assert entry.source
    assert entry.retry.needs_operator is False or entry.retry.outcome == "temporary"


def test_the_names_of_entries_are_unique() -> None:
    assert len({entry.id for entry in ENTRIES}) == len(ENTRIES)
    assert entry_named("send-as-denied") in ENTRIES
    assert entry_named("no such entry") is None


def test_every_pattern_is_used_by_a_line_of_the_corpus() -> None:
    said: dict[str, list[str]] = {entry.id: [] for entry in ENTRIES}
    for name, text in corpus("known", "field"):
        said[name] += [flatten(text), *(statement.text for statement in statements(text))]
    unused = [
        f"{entry.id}: {pattern}"
        for entry in ENTRIES
        for pattern in entry.text
        if not any(re.search(pattern, text, re.IGNORECASE) for text in said[entry.id])
    ]
    assert unused == []


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_patterns_take_linear_time(entry: Entry) -> None:
    for pattern in entry.text:
        assert not re.search(r"(?<!\\)[*+]|\{\d+,\}", pattern), "repetitions have an upper bound"
        assert not re.search(r"\{\d+,\d+\}[^()]*\)[{?]", pattern), "repetitions are not nested"


def test_a_pattern_without_conditions_has_a_run_of_plain_characters() -> None:
    bare = [
        entry.id
        for entry in ENTRIES
        for pattern in entry.text
        if not plain_run(pattern) and not (entry.strict and entry.enhanced) and not entry.id.startswith("graph-")
    ]
    assert bare == []


def test_a_plain_run_occurs_in_whatever_fits() -> None:
    assert plain_run(r"Access denied, (banned|bad) senders?$") == "access denied, "
    assert plain_run(r"^a\.b$") == ""
    with pytest.raises(ValueError, match="outside a group"):
        plain_run("one|other")


def test_identities_that_are_refused_rest_alone() -> None:
    for entry in ENTRIES:
        if entry.example.startswith("535"):
            assert entry.retry.scope is Scope.MAILBOX, entry.id


def test_every_actor_and_evidence_has_words() -> None:
    assert all(actor.words for actor in Actor)
    assert all(entry.evidence.words for entry in ENTRIES)


def test_the_sentence_decides_and_not_the_code() -> None:
    sentences = {
        "the user credentials were incorrect.": "login-credentials-wrong",
        "basic authentication is disabled.": "login-basic-auth-disabled",
        "SmtpClientAuthentication is disabled for the Mailbox.": "smtp-auth-off-mailbox",
        "account locked. Contact your administrator.": "login-account-locked",
    }
    for sentence, expected in sentences.items():
        match = find(f"535 5.7.139 Authentication unsuccessful, {sentence} [host]")
        assert match is not None and match.entry.id == expected
    assert find("535 5.7.139 Authentication unsuccessful, for a reason that nobody has seen yet. [host]") is None


def test_an_error_inside_an_error_counts() -> None:
    inner = "535 5.7.139 Authentication unsuccessful, account locked. Contact your administrator."
    match = find(f"530 5.7.57 Client not authenticated to send mail. Error: {inner} [host]")
    assert match is not None and match.entry.id == "login-account-locked"
    assert match.statement.code == 535


def test_a_wrapper_around_an_unknown_error_is_read_as_the_wrapper() -> None:
    match = find("530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Something new")
    assert match is not None and match.entry.id == "mail-after-failed-login"


def test_what_a_remote_server_said_does_not_hide_what_exchange_said() -> None:
    match = find("550 5.7.367 Remote server returned not permitted to relay -> 554 5.7.1 Relaying denied")
    assert match is not None and match.entry.id == "forwarded-mail-not-relayed"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a [BeginDiagnosticData]x 535 5.7.3[EndDiagnosticData] b", "a b"),
        ("a [begindiagnosticdata]x, never ended", "a"),
        ("a [BeginDiagnosticData]x[EndDiagnosticData] b [BeginDiagnosticData]y[EndDiagnosticData] c", "a b c"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_diagnostic_data_is_left_out(text: str, left: str) -> None:
    assert without_dump(text) == left


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 5.1.1 User unknown", [Statement(550, "5.1.1", "User unknown")]),
        ("550 No such user", [Statement(550, "", "No such user")]),
        ("5.7.57 Not you", [Statement(None, "5.7.57", "Not you")]),
        ("smtp;550 5.1.1 No", [Statement(None, "", "smtp"), Statement(550, "5.1.1", "No")]),
        ("250-2.1.0 one\n250 2.1.0 two", [Statement(250, "2.1.0", "one two")]),
        ("(535, b'5.7.3 No')", [Statement(535, "5.7.3", "No")]),
        ("no codes here", [Statement(None, "", "no codes here")]),
        ("", [Statement(None, "", "")]),
    ],
)
def test_a_text_is_cut_at_its_codes(text: str, expected: list[Statement]) -> None:
    assert [each for each in statements(text) if each.text or each.code or len(expected) == 1][
        -len(expected) :
    ] == expected


def test_the_catalogue_is_not_read_before_it_is_needed() -> None:
    script = (
        "import posthouse.deliver.classify, posthouse.microsoft.replies as r\n"
        "assert r.catalogue.cache_info().currsize == 0"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
