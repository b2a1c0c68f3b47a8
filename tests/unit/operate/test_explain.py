"""``posthouse explain``: replies, notices and logs in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.operate.conftest import Run

from posthouse.microsoft.replies import catalogue
from posthouse.operate.explanation import explain, explanation_named, explanation_of
from posthouse.operate.explanation_page import catalogue_page

NOTICES = Path(__file__).parents[2] / "golden" / "replies" / "notices"
LOCKED = "535 5.7.139 Authentication unsuccessful, account locked. Contact your administrator. [host]"


def test_a_known_reply_is_explained_and_ends_with_0(run: Run) -> None:
    shown = run("explain", LOCKED)
    assert shown.exit_code == 0
    for words in (
        "locked",
        "Who must act: the Entra administrator",
        "Get-MgAuditLogSignIn",
        "before somebody has acted",
        "certain",
    ):
        assert words in shown.output


def test_an_unknown_reply_is_said_to_be_unknown_and_ends_with_1(run: Run) -> None:
    shown = run("explain", "550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown in local table")
    assert shown.exit_code == 1
    assert "Not known" in shown.output
    assert "about an address: the mailbox does not exist (RFC 3463)" in shown.output
    assert "<bob@example.net>" in shown.output


def test_a_success_is_no_refusal(run: Run) -> None:
    shown = run("explain", "250 2.1.5 Recipient OK")
    assert shown.exit_code == 1
    assert "No refusal" in shown.output and "Not known" not in shown.output


def test_prose_is_no_reply(run: Run) -> None:
    shown = run("explain", "it", "does", "not", "work")
    assert shown.exit_code == 1
    assert "Nothing in this text" in shown.output


def test_the_name_of_an_entry_is_explained(run: Run) -> None:
    shown = run("explain", "connector-not-matched")
    assert shown.exit_code == 0
    assert "Set-InboundConnector" in shown.output


def test_words_need_no_quotes(run: Run) -> None:
    assert run("explain", *LOCKED.split()).exit_code == 0


def test_a_log_is_read_from_standard_input_and_each_reply_is_told_once(run: Run) -> None:
    log = (
        b"2026-11-20T08:15:02.123Z,Outbound,08DE,13,198.51.100.10:51234,192.0.2.210:25,>,MAIL FROM:<a@b.example>,\n"
        b"2026-11-20T08:15:02.223Z,Outbound,08DE,14,198.51.100.10:51234,192.0.2.210:25,<,250 2.1.0 Sender OK,\n"
        b"2026-11-20T08:15:02.323Z,Outbound,08DE,15,198.51.100.10:51234,192.0.2.210:25,<,"
        b"550 5.7.64 TenantAttribution; Relay Access Denied [host.example],\n"
        b"2026-11-20T08:16:02.323Z,Outbound,08DF,15,198.51.100.10:51234,192.0.2.210:25,<,"
        b"550 5.7.64 TenantAttribution; Relay Access Denied [host.example],\n"
        b"2026-11-20T08:17:02.323Z,Outbound,08E0,15,198.51.100.10:51234,192.0.2.210:25,<,"
        b"432 4.3.2 Concurrent connections limit exceeded. [Hostname=x.example],\n"
        b"2026-11-20T08:17:02.323Z,Outbound,08E0,15,198.51.100.10:51234,192.0.2.210:25,<,450 4.2.0 Greylisted by us,\n"
    )
    shown = run("explain", "-", "--json", stdin=log)
    assert shown.exit_code == 0
    found = json.loads(shown.output)
    assert found["kind"] == "text"
    assert [(f["explanation"] or {}).get("id") for f in found["findings"]] == [
        "connector-not-matched",
        "too-many-connections-of-mailbox",
        None,
    ]
    assert [f["count"] for f in found["findings"]] == [2, 1, 1]


def test_replies_that_differ_in_addresses_only_are_told_once_and_hide_nothing(run: Run) -> None:
    lines = [f"2026-11-20T08:15:02Z,<,450 4.2.0 <user{n}@example.net>: Greylisted for {n} s,\n" for n in range(500)]
    lines += [
        f"2026-11-20T08:15:02Z,<,450 4.2.{n} Word{chr(97 + n % 26)}{chr(97 + n // 26)} later,\n" for n in range(300)
    ]
    log = "".join(lines) + f"2026-11-20T08:15:02Z,<,{LOCKED},\n"
    found = json.loads(run("explain", "-", "--json", stdin=log.encode()).output)["findings"]
    assert found[0]["count"] == 500
    assert found[-1]["explanation"]["id"] == "login-account-locked"
    assert len(found) == 101


def test_a_file_of_powershell_in_utf16_is_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text(LOCKED, encoding="utf-16")
    assert run("explain", file).exit_code == 0


@pytest.mark.parametrize("data", [b"", b"\x00\xff\xfe\x80" * 99, b"\r\n" * 5000, b"550 " * 9000, b"5.7.1" * 9000])
def test_any_octets_are_taken(run: Run, data: bytes) -> None:
    assert run("explain", "-", stdin=data).exit_code == 1


def test_without_a_text_it_says_how_to_use_it(run: Run) -> None:
    assert run("explain").exit_code == 2


def test_the_list_names_every_entry(run: Run) -> None:
    shown = run("explain", "--list")
    assert shown.exit_code == 0
    assert all(entry.id in shown.output for entry in catalogue())
    listed = json.loads(run("explain", "--list", "--json").output)
    assert [entry["id"] for entry in listed] == [entry.id for entry in catalogue()]


def test_a_file_that_is_not_there_is_no_reply(run: Run) -> None:
    done = run("explain", "report-of-monday.eml")
    assert done.exit_code == 1 and "there is no file report-of-monday.eml" in done.output


def test_the_page_of_all_replies_is_what_the_catalogue_says() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "replies.md"
    assert page.read_text("utf-8") == catalogue_page(), (
        "run: posthouse explain --list --markdown > docs/reference/replies.md"
    )


def test_an_explanation_is_found_by_reply_and_by_name() -> None:
    assert explanation_of(LOCKED) == explanation_named("login-account-locked")
    assert explanation_of("") is None
    assert explanation_named("") is None


def found(name: str) -> list[tuple[str, str | None]]:
    explained = explain((NOTICES / f"{name}.eml").read_bytes())
    assert explained.kind == "notice"
    return [(f.recipient, f.explanation.id if f.explanation else None) for f in explained.findings]


def test_a_notice_is_explained_recipient_by_recipient() -> None:
    assert found("two_recipients") == [
        ("bob@fabrikam.example", "recipient-not-found"),
        ("eve@fabrikam.example", None),
    ]


def test_a_failed_recipient_of_class_4_is_read_as_failed() -> None:
    explained = explain((NOTICES / "expired.eml").read_bytes())
    assert [f.explanation.id for f in explained.findings if f.explanation] == ["onward-expired"]
    assert explained.findings[0].enhanced == "4.4.7"


def test_the_supplement_is_read_where_the_diagnostic_code_says_nothing() -> None:
    assert found("supplement") == [("bob@fabrikam.example", "connector-not-matched")]


def test_the_part_for_people_is_read_where_the_rest_says_nothing() -> None:
    assert found("human_part") == [("", "tenant-external-limit")]


def test_a_notice_of_ours_can_be_explained() -> None:
    ours = Path(__file__).parents[2] / "golden" / "dsn" / "failed.eml"
    assert explain(ours.read_bytes()).kind == "notice"
