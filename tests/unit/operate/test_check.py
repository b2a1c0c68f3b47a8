"""``posthouse check``: what only the running system shows."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.unit.operate.conftest import FLOW, NODE, Run


def report(run: Run, place: Path, *words: str) -> dict[str, Any]:
    done = run("check", "--json", "--dir", place, *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if found["ok"] else 1)
    return found


def messages(problems: list[dict[str, Any]]) -> str:
    return "\n".join(f"{problem['key']}: {problem['message']}; {problem['hint']}" for problem in problems)


def write_pair(place: Path, *, expires: timedelta = timedelta(days=300), other_key: bool = False) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("relay.example.com", not_after=datetime.now(UTC) + expires)
    issued.cert_chain_pems[0].write_to_path(place / "relay.pem")
    key = authority.issue_cert("other.example.com") if other_key else issued
    key.private_key_pem.write_to_path(place / "relay.key")
    (place / "relay.key").chmod(0o600)
    (place / "posthouse.toml").write_text(NODE + '[tls]\ncertificate = "relay.pem"\nkey = "relay.key"\n')


def test_a_good_configuration_passes(place: Path, run: Run) -> None:
    done = run("check", "--dir", place)
    assert done.exit_code == 0, done.output
    assert "all is well" in done.output


def test_a_port_in_use_is_named(place: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        (place / "posthouse.toml").write_text(NODE.replace("127.0.0.1:0", address))
        found = report(run, place)
    assert f"{address} cannot be used: address already in use" in messages(found["errors"])


def test_an_address_of_another_machine_is_named(place: Path, run: Run) -> None:
    (place / "posthouse.toml").write_text(NODE.replace("127.0.0.1:0", "192.0.2.77:2525"))
    assert "192.0.2.77:2525 cannot be used" in messages(report(run, place)["errors"])


def test_a_listener_is_released_after_the_look(place: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    (place / "posthouse.toml").write_text(NODE.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    assert report(run, place)["ok"]
    socket.create_server(("127.0.0.1", port)).close()


def test_a_good_certificate_passes(place: Path, run: Run) -> None:
    write_pair(place)
    assert report(run, place) == {"ok": True, "errors": [], "warnings": [], "notes": []}


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [(-1, "warnings", "expired on"), (10, "warnings", "expires in")],
)
def test_a_certificate_near_its_end_is_named(place: Path, run: Run, days: int, severity: str, words: str) -> None:
    write_pair(place, expires=timedelta(days=days))
    assert words in messages(report(run, place)[severity])


def test_a_key_of_another_certificate_is_named(place: Path, run: Run) -> None:
    write_pair(place, other_key=True)
    assert "relay.pem with key" in messages(report(run, place)["errors"])


def test_files_that_are_not_there_are_named(place: Path, run: Run) -> None:
    write_pair(place)
    (place / "relay.key").unlink()
    assert "relay.key" in messages(report(run, place)["errors"])


def test_a_key_that_everybody_can_read_is_warned_of(place: Path, run: Run) -> None:
    write_pair(place)
    (place / "relay.key").chmod(0o644)
    found = report(run, place)
    assert found["ok"]
    assert "every user of this machine can read" in messages(found["warnings"])


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("env:POSTHOUSE_TEST_UNSET", "POSTHOUSE_TEST_UNSET is not set"),
        ("file:nowhere", "nowhere cannot be read"),
        ("secret:unknown", "no secret named unknown"),
    ],
)
def test_a_secret_that_cannot_be_opened_is_named(place: Path, run: Run, reference: str, words: str) -> None:
    login = f'tls = "certificate"\n[outbound.auth]\nusername = "me"\npassword = "{reference}"\n'
    (place / "flow.toml").write_text(FLOW + login)
    assert words in messages(report(run, place)["errors"])


def test_a_store_that_cannot_be_opened_is_named(place: Path, run: Run) -> None:
    (place / "data").write_text("this is a file")
    assert "store" in messages(report(run, place)["errors"])


def test_an_upstream_that_does_not_answer_is_named_when_asked_for(place: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as next_hop:
        port = next_hop.getsockname()[1]
        (place / "flow.toml").write_text(FLOW.replace("2600", str(port)))
        assert report(run, place, "--online")["ok"]
    assert report(run, place)["ok"]
    found = report(run, place, "--online")
    assert f"127.0.0.1:{port} cannot be reached: " in messages(found["errors"])


def test_errors_of_the_files_are_json_as_well(place: Path, run: Run) -> None:
    (place / "flow.toml").write_text(FLOW.replace("2600", '"abc"'))
    (problem,) = report(run, place)["errors"]
    assert (problem["file"], problem["line"], problem["key"]) == ("flow.toml", 10, "outbound[0].port")
    assert (problem["found"], problem["expected"]) == ('"abc"', "a whole number from 1 to 65535")


IDENTITY = """
[[identity]]
name = "app"
kind = "certificate"
tenant = "contoso.com"
client_id = "1"
certificate = "app.pem"

[[outbound]]
name = "microsoft365"
kind = "submission"
identity = "app"
mailboxes = ["relay@contoso.com"]

[[route]]
name = "all"
connectors = ["microsoft365"]
"""


def test_a_certificate_that_no_identity_can_log_in_with_is_named(place: Path, run: Run) -> None:
    (place / "flow.toml").write_text(FLOW + IDENTITY)
    assert f"{place / 'app.pem'} cannot be read: no such file" in messages(report(run, place)["errors"])


def test_a_certificate_without_its_key_is_named_but_it_is_no_secret(place: Path, run: Run) -> None:
    (place / "flow.toml").write_text(FLOW + IDENTITY)
    trustme.CA().cert_pem.write_to_path(place / "app.pem")
    (place / "app.pem").chmod(0o644)
    found = report(run, place)
    assert "app.pem holds no private key" in messages(found["errors"])
    assert found["warnings"] == []


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_used_is_named(place: Path, run: Run, text: str | None) -> None:
    authorities = 'tls_ca = "ca.pem"\n\n[[route]]'
    flow = FLOW + IDENTITY.replace('certificate = "app.pem"', 'certificate = "app.pem"\nca = "ca.pem"')
    (place / "flow.toml").write_text(flow.replace("[[route]]", authorities))
    if text is not None:
        (place / "ca.pem").write_text(text)
    said = messages(report(run, place)["errors"])
    words = "cannot be read: no such file" if text is None else "no certificate authority in PEM form"
    assert f"identity[0].ca: {place / 'ca.pem'}" in said
    assert f"].tls_ca: {place / 'ca.pem'}" in said
    assert words in said
