"""Upstreams written as URLs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from posthouse.decide.flow import Flow
from posthouse.operate.upstream import Upstream, UpstreamRefused, read_upstream


def connector(url: str) -> dict[str, Any]:
    read = read_upstream(url)
    assert isinstance(read, Upstream), read
    Flow.model_validate(tomllib.loads(read.toml))
    (table,) = tomllib.loads(read.toml)["outbound"]
    (identity,) = tomllib.loads(read.toml).get("identity", [{}])
    return {**{f"identity.{key}": value for key, value in identity.items()}, **table}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1:2600", {"hosts": ["127.0.0.1"], "port": 2600, "tls": "opportunistic"}),
        ("smtp://mail.example.com", {"hosts": ["mail.example.com"], "port": 25}),
        ("smtp://[2001:db8::1]:25", {"hosts": ["2001:db8::1"], "port": 25}),
        ("smtps://me@mail.example.com", {"port": 465, "implicit_tls": True, "tls": "certificate"}),
        ("smtp://me%40example.com@mail.example.com", {"port": 587, "tls": "certificate"}),
        ("mx", {"kind": "mx"}),
        (
            "microsoft365://contoso.com?sender=a@contoso.com&client_id=1&client_secret=env:SECRET",
            {
                "kind": "submission",
                "mailboxes": ["a@contoso.com"],
                "identity.tenant": "contoso.com",
                "identity.client_secret": "env:SECRET",
            },
        ),
        (
            "microsoft365://contoso.com?sender=a@contoso.com&sender=b@contoso.com&client_id=1&certificate=app.pem",
            {"mailboxes": ["a@contoso.com", "b@contoso.com"], "identity.certificate": "app.pem"},
        ),
        (
            "microsoft365://contoso.com?sender=a@contoso.com&client_id=1&user=clerk@contoso.com&cloud=gcc_high",
            {"identity.kind": "device_code", "identity.user": "clerk@contoso.com", "identity.cloud": "gcc_high"},
        ),
        (
            "graph://contoso.com?sender=a@contoso.com&client_id=1&client_secret=env:SECRET&ca=ca.pem",
            {"kind": "graph", "tls_ca": "ca.pem", "identity.ca": "ca.pem"},
        ),
        (
            "microsoft365://contoso.com?sender=a@contoso.com&password=file:/run/p",
            {"mailboxes": ["a@contoso.com"], "identity.kind": "password", "identity.password": "file:/run/p"},
        ),
    ],
)
def test_a_url_becomes_a_connector(url: str, expected: dict[str, Any]) -> None:
    found = connector(url)
    assert {key: found[key] for key in expected} == expected


def test_a_log_in_refers_to_a_secret_that_is_asked_for() -> None:
    read = read_upstream("smtps://me@mail.example.com:465")
    assert isinstance(read, Upstream)
    assert read.secret == "upstream-password"
    assert tomllib.loads(read.toml)["outbound"][0]["auth"] == {"username": "me", "password": "secret:upstream-password"}


def test_a_client_secret_that_is_not_given_is_asked_for() -> None:
    read = read_upstream("microsoft365://contoso.com?sender=a@contoso.com&client_id=1")
    assert isinstance(read, Upstream)
    assert read.secret == "microsoft365-client-secret"


@pytest.mark.parametrize(
    "url",
    [
        "smtp://me:PLANTED@mail.example.com",
        "microsoft365://contoso.com?sender=a@contoso.com&client_id=1&client_secret=PLANTED",
        "microsoft365://contoso.com?sender=a@contoso.com&password=PLANTED",
        "smpt://me:PLANTED@mail.example.com",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(url: str) -> None:
    read = read_upstream(url)
    assert isinstance(read, UpstreamRefused)
    assert "PLANTED" not in read.reason + read.hint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("graph://contoso.com?sender=a@contoso.com", "client_id"),
        ("mail.example.com", "not understood"),
        ("smtp://", "host is missing"),
        ("smtp://host:99999", "port"),
        ("microsoft365://contoso.com", "sender, client_id"),
        ("microsoft365://contoso.com?sender=a@b.c&client_id=1&colour=red", "colour"),
        ("emulator:nowhere", "endpoints.json is missing"),
    ],
)
def test_what_cannot_be_used_is_explained(url: str, words: str) -> None:
    read = read_upstream(url)
    assert isinstance(read, UpstreamRefused)
    assert words in read.reason


def test_the_emulator_says_itself_where_it_listens(tmp_path: Path) -> None:
    endpoints = {
        "submission": "127.0.0.1:2587",
        "authority": "https://127.0.0.1:2443/t",
        "ca": "/e/ca.pem",
        "tenant": "t",
        "domain": "contoso.example",
        "client_id": "c",
        "client_secret_file": "/e/client-secret",
    }
    (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
    found = connector(f"emulator:{tmp_path}?sender=alice@contoso.example")
    assert found["mailboxes"] == ["alice@contoso.example"]
    assert (found["host"], found["port"], found["tls_ca"]) == ("127.0.0.1", 2587, "/e/ca.pem")
    assert found["identity.client_secret"] == "file:/e/client-secret"
    assert connector(f"emulator:{tmp_path}")["mailboxes"] == ["relay@contoso.example"]


def test_files_are_named_as_they_are_reached_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "ca.pem").write_text("x")
    found = connector("graph://contoso.com?sender=a@contoso.com&client_id=1&client_secret=file:secret&ca=ca.pem")
    assert found["identity.client_secret"] == f"file:{tmp_path / 'secret'}"
    assert found["identity.ca"] == found["tls_ca"] == str(tmp_path / "ca.pem")
