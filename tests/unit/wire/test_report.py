"""Notices of other mail systems, and the general meaning of status codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.wire.report import MAX_RECIPIENTS, read_report
from posthouse.wire.status import status_words

GOLDEN = Path(__file__).parents[2] / "golden"


def notice(status: str, kind: str = "message/delivery-status", encoding: str = "7bit", human: str = "Sorry.") -> bytes:
    text = (
        'Subject: Undeliverable\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n{human}\n"
        f"--b\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n{status}\n--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


def test_a_notice_of_exchange_is_read() -> None:
    report = read_report((GOLDEN / "replies" / "notices" / "two_recipients.eml").read_bytes())
    assert report is not None
    assert report.reporter == "AM9P192MB0935.EURP192.PROD.OUTLOOK.COM"
    bob, eve = report.recipients
    assert (bob.address, bob.action, bob.status) == ("bob@fabrikam.example", "failed", "5.1.10")
    assert bob.diagnostic.endswith("Recipient not found by SMTP address lookup")
    assert eve.remote == "mx.fabrikam.example"
    assert report.human.startswith("Your message couldn't be delivered.")


def test_our_own_notices_are_read() -> None:
    report = read_report((GOLDEN / "dsn" / "failed.eml").read_bytes())
    assert report is not None and report.recipients[0].action == "failed"


def test_the_part_for_people_is_decoded() -> None:
    report = read_report(
        notice("Reporting-MTA: dns;x\n\nFinal-Recipient: rfc822;a@b\nAction: failed\n", human="Gr=FC=DFe=\n!")
    )
    assert report is not None and report.human.strip() == "Grüße!"


@pytest.mark.parametrize("kind", ["message/delivery-status", "message/global-delivery-status"])
def test_a_status_part_in_an_encoding_is_read(kind: str) -> None:
    report = read_report(notice("Action: failed\nFinal-Recipient:=20rfc822;a@b\n", kind, "quoted-printable"))
    assert report is not None and report.recipients[0].address == "a@b"


def test_missing_and_broken_fields_are_empty() -> None:
    report = read_report(notice("no field at all\n\nAction: failed\nStatus 5.1.1\nDiagnostic-Code: 550 no type\n"))
    assert report is not None
    (only,) = report.recipients
    assert (only.address, only.status, only.diagnostic) == ("", "", "550 no type")


@pytest.mark.parametrize("encoding", ["base64", "7bit"])
def test_a_broken_encoding_is_no_fault(encoding: str) -> None:
    report = read_report(notice("!", encoding=encoding))
    assert report is not None and report.recipients == ()


def test_a_notice_about_thousands_is_bounded() -> None:
    report = read_report(notice("\n\n".join(["Final-Recipient: rfc822;a@b\nAction: failed"] * 5000)))
    assert report is not None and len(report.recipients) <= MAX_RECIPIENTS


@pytest.mark.parametrize(
    "data", [b"", b"delivery-status", b"550 5.1.1 delivery-status", b"Subject: x\r\n\r\ndelivery-status"]
)
def test_other_octets_are_no_notice(data: bytes) -> None:
    assert read_report(data) is None


@pytest.mark.parametrize(
    ("code", "enhanced", "words"),
    [
        (550, "5.1.1", "a failure for good about an address: the mailbox does not exist"),
        (451, "", "a failure for now"),
        (None, "4.7.999", "a failure for now about security or policy"),
        (250, "2.0.0", "success of no particular kind"),
        (354, "", ""),
        (None, "", ""),
    ],
)
def test_codes_have_a_general_meaning(code: int | None, enhanced: str, words: str) -> None:
    assert status_words(code, enhanced) == words
