"""Reading a good configuration: defaults, absolute paths, warnings."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from posthouse.config import ConfigurationRefused, judge_flow, load
from posthouse.decide.identities import ClientSecret
from posthouse.decide.outbound import Smarthost, Submission
from posthouse.operate.reference import configuration_reference

NODE = '[[listener]]\nname = "smtp"\naddress = "127.0.0.1:2525"\n'
FLOW = '[[outbound]]\nname = "next"\nkind = "smarthost"\nhosts = ["192.0.2.1"]\n'


def write(directory: Path, node: str = NODE, flow: str = FLOW) -> Path:
    (directory / "posthouse.toml").write_text(node)
    (directory / "flow.toml").write_text(flow)
    return directory


def warnings_of(directory: Path) -> list[str]:
    return [str(problem) for problem in load(directory).warnings]


def errors_of(directory: Path) -> list[str]:
    with pytest.raises(ConfigurationRefused) as caught:
        load(directory)
    return [str(problem) for problem in caught.value.errors]


def test_two_short_files_are_a_configuration(tmp_path: Path) -> None:
    read = load(write(tmp_path))
    assert read.node.listener[0].address == "127.0.0.1:2525"
    assert read.node.queue.expire_after == timedelta(hours=24)
    assert read.node.hostname == socket.gethostname()
    assert read.flow.outbound[0].name == "next"
    assert read.flow_text == FLOW
    assert read.warnings == ()


def test_relative_paths_start_from_the_directory_of_the_files(tmp_path: Path) -> None:
    flow = """
[[identity]]
name = "app"
kind = "client_secret"
tenant = "example.com"
client_id = "1"
client_secret = "file:secrets/client"

[[outbound]]
name = "cloud"
kind = "submission"
identity = "app"
mailboxes = "a@example.com"
tls_ca = "ca.pem"
"""
    node = NODE + '[tls]\ncertificate = "relay.pem"\nkey = "/etc/ssl/relay.key"\n'
    read = load(write(tmp_path, node, flow))
    connector = read.flow.outbound[0]
    assert isinstance(connector, Submission)
    (identity,) = read.flow.identity
    assert isinstance(identity, ClientSecret)
    assert identity.client_secret == f"file:{tmp_path / 'secrets/client'}"
    assert connector.tls_ca == tmp_path / "ca.pem"
    assert read.node.tls.certificate == tmp_path / "relay.pem"
    assert read.node.tls.key == Path("/etc/ssl/relay.key")
    assert read.node.store.directory == tmp_path / "data"
    assert read.node.control.socket == tmp_path / "control.sock"


def test_a_relative_directory_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load(Path()).node.store.directory == tmp_path / "data"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "flow.toml").write_bytes(b"\xef\xbb\xbf" + FLOW.replace("\n", "\r\n").encode())
    connector = load(tmp_path).flow.outbound[0]
    assert isinstance(connector, Smarthost)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "flow.toml").write_bytes(b"[[outbound]]\nname = '\xff'\n")
    assert errors_of(tmp_path) == ["flow.toml: octet 21 is not UTF-8; hint: save the file as UTF-8"]


def test_both_files_are_missed_at_once(tmp_path: Path) -> None:
    errors = errors_of(tmp_path)
    assert [error.partition(":")[0] for error in errors] == ["posthouse.toml", "flow.toml"]
    assert all("posthouse init" in error for error in errors)


@pytest.mark.parametrize(
    ("node", "flow", "words"),
    [
        (NODE + 'profile = "legacy"\n', FLOW, "legacy profile allows TLS 1.0"),
        (NODE + 'profile = "legacy"\nauth_without_tls = true\n', FLOW, "clear text"),
        (
            NODE,
            FLOW + '[[inbound]]\nname = "office"\nnetworks = ["10.0.0.0/8"]\nrecipients = "any"\n',
            "may send to the whole world",
        ),
        (
            NODE,
            FLOW + '[[inbound]]\nname = "office"\nnetworks = ["10.1.0.0/24"]\n',
            "lets nothing through",
        ),
        (NODE, FLOW + '[outbound.auth]\nusername = "u"\npassword = "env:P"\n', "clear text"),
        (NODE, "", "no mail can leave"),
        (NODE, FLOW + '[[inbound]]\nname = "c"\ncertificates = ["a.example.com"]\nrecipients = "any"\n', "no listener"),
    ],
)
def test_risky_choices_are_warned_of(tmp_path: Path, node: str, flow: str, words: str) -> None:
    assert any(words in warning for warning in warnings_of(write(tmp_path, node, flow)))


def test_loopback_is_not_a_wide_network(tmp_path: Path) -> None:
    flow = FLOW + '[[inbound]]\nname = "here"\nnetworks = ["127.0.0.0/8"]\nrecipients = "any"\n'
    assert warnings_of(write(tmp_path, NODE, flow)) == []


def test_many_small_networks_cannot_add_up_to_an_open_relay(tmp_path: Path) -> None:
    halves = '[[inbound]]\nname = "{}"\nnetworks = ["{}"]\nrecipients = "any"\n'
    flow = FLOW + halves.format("low", "0.0.0.0/1") + halves.format("high", "128.0.0.0/1")
    assert any("open relay" in error for error in errors_of(write(tmp_path, NODE, flow)))


def test_a_flow_is_judged_with_the_names_of_the_node(tmp_path: Path) -> None:
    write(tmp_path)
    flow = FLOW + '[[inbound]]\nname = "a"\nnetworks = ["10.1.0.0/24"]\nrecipients = "any"\nlisteners = ["smpt"]\n'
    (problem,) = judge_flow(flow, tmp_path)
    assert re.fullmatch(r"flow.toml:9: inbound\[0\].listeners\[0\]: .*did you mean \"smtp\"\?", str(problem))


def test_a_flow_that_is_fine_has_no_problems(tmp_path: Path) -> None:
    assert judge_flow(FLOW, write(tmp_path)) == ()


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
    assert page.read_text() == configuration_reference(), (
        "run: posthouse config reference > docs/reference/configuration.md"
    )
