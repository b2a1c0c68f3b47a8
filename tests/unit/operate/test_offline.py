"""Commands while no node runs: they work on the store itself."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operate.conftest import FLOW, Run

from posthouse.config import load
from posthouse.service.kept import NodeLock

MESSAGE = b"Subject: from a script\nTo: bob@example.org\n\nhello\n"


def send(run: Run, place: Path, *words: str, message: bytes = MESSAGE) -> str:
    done = run(
        "send", "--dir", place, "--json", "-f", "me@example.com", *(words or ("bob@example.org",)), stdin=message
    )
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["id"])


def ask(run: Run, place: Path, *words: str) -> Any:
    done = run(*words, "--json", "--dir", place)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_message_waits_in_the_store_until_a_node_runs(place: Path, run: Run) -> None:
    name = send(run, place)
    (copy,) = ask(run, place, "queue", "list")["copies"]
    assert (copy["id"], copy["state"], copy["hop"]) == (name, "pending", "next")
    assert (copy["sender"], copy["recipient"]) == ("me@example.com", "bob@example.org")
    assert copy["subject"] == "from a script"
    assert copy["received_at"].endswith("Z")


def test_send_is_silent_like_sendmail(place: Path, run: Run) -> None:
    done = run("send", "--dir", place, "-oi", "-bm", "-t", stdin=MESSAGE)
    assert (done.exit_code, done.output) == (0, "")
    (copy,) = ask(run, place, "queue", "list")["copies"]
    assert copy["recipient"] == "bob@example.org"


def test_send_needs_a_recipient_and_an_address_that_can_be_read(place: Path, run: Run) -> None:
    assert run("send", "--dir", place, stdin=MESSAGE).exit_code == 1
    done = run("send", "--dir", place, "bob@exa mple.org", stdin=MESSAGE)
    assert done.exit_code == 1
    assert "cannot hold" in done.output
    assert run("send", "--dir", place, "-bs", "bob@example.org", stdin=MESSAGE).exit_code == 2


def test_send_says_try_again_when_the_configuration_is_broken(place: Path, run: Run) -> None:
    (place / "flow.toml").write_text("broken")
    assert run("send", "--dir", place, "bob@example.org", stdin=MESSAGE).exit_code == 75


def test_the_queue_is_steered_without_a_node(place: Path, run: Run) -> None:
    name = send(run, place, "bob@example.org", "carol@example.net")
    assert run("queue", "hold", name, "--dir", place).exit_code == 0
    assert {copy["state"] for copy in ask(run, place, "queue", "list")["copies"]} == {"held"}
    changed = ask(run, place, "queue", "release", "--recipient", "@example.net")
    assert changed == {"action": "release", "messages": 1, "copies": 1}
    assert ask(run, place, "queue", "retry", "--all")["copies"] == 1
    assert run("queue", "cancel", "--all", "--dir", place).exit_code == 2, "a script has to say --yes"
    assert ask(run, place, "queue", "cancel", "--all", "--yes")["copies"] == 2
    assert ask(run, place, "queue", "list")["copies"] == []
    rows = ask(run, place, "trace", "search", "--status", "cancelled")["rows"]
    assert {row["status"] for row in rows} == {"Cancelled"}


def test_an_action_needs_to_know_which_mail(place: Path, run: Run) -> None:
    assert run("queue", "cancel", "--dir", place).exit_code == 2
    assert run("queue", "cancel", "--all", "--sender", "a@b.c", "--dir", place).exit_code == 2
    done = run("queue", "cancel", "--sender", "nobody@example.com", "--dir", place)
    assert done.exit_code == 1
    assert "nothing that waits matched" in done.output
    assert run("queue", "hold", "not-an-id", "--dir", place).exit_code == 1


def test_the_queue_for_people(place: Path, run: Run) -> None:
    assert run("queue", "list", "--dir", place).output == "Nothing waits.\n"
    name = send(run, place)
    listed = run("queue", "list", "--dir", place).output
    assert listed.startswith("ID ")
    assert "me@example.com > bob@example.org" in listed
    shown = run("queue", "show", name, "--dir", place).output
    assert "Waiting line:" in shown and "next" in shown
    assert "next" in run("queue", "hops", "--dir", place).output
    assert run("queue", "show", "0000000000000", "--dir", place).exit_code == 1


def test_the_trace_tells_the_story(place: Path, run: Run) -> None:
    name = send(run, place)
    (row,) = ask(run, place, "trace", "search", "--sender", "me@example.com", "--since", "1h")["rows"]
    assert (row["id"], row["status"]) == (name, "Pending")
    story = ask(run, place, "trace", "show", name.lower())
    assert story["origin"] == "local"
    assert story["timeline"][0]["event"] == "accepted"
    shown = run("trace", "show", name, "--dir", place).output
    assert "from a script" in shown and "Accepted from" in shown
    assert ask(run, place, "trace", "show", row["message_id"])["id"] == name
    assert run("trace", "show", "0000000000000", "--dir", place).exit_code == 1
    assert run("trace", "search", "--status", "lost", "--dir", place).exit_code == 1
    assert run("trace", "search", "--since", "soon", "--dir", place).exit_code == 2


def test_the_trace_as_csv(place: Path, run: Run) -> None:
    send(run, place, message=b"Subject: =cmd()\n\nx\n")
    lines = run("trace", "search", "--csv", "--dir", place).output.splitlines()
    assert lines[0].startswith("Received,SenderAddress,RecipientAddress,Subject,Status")
    assert ",'=cmd()," in lines[1]


def test_a_search_goes_on_where_it_stopped(place: Path, run: Run) -> None:
    names = [send(run, place) for _ in range(3)]
    first = ask(run, place, "trace", "search", "--limit", "2")
    rest = ask(run, place, "trace", "search", "--limit", "2", "--before", first["next"])
    assert [row["id"] for row in (*first["rows"], *rest["rows"])] == names[::-1]
    assert rest["next"] is None


def test_a_strangers_control_characters_do_not_reach_the_terminal(place: Path, run: Run) -> None:
    name = send(run, place, message=b"Subject: red \x1b[31m\n\nx\n")
    for words in (("queue", "list"), ("trace", "search"), ("trace", "show", name)):
        assert "\x1b[31m" not in run(*words, "--dir", place).output


def test_accounts(place: Path, run: Run) -> None:
    words = ("account", "add", "web@example.com", "--sender", "@example.com", "--password-stdin", "--dir", place)
    done = run(*words, stdin=b"PLANTED correct horse\n")
    assert done.exit_code == 0, done.output
    (account,) = ask(run, place, "account", "list")["accounts"]
    assert (account["name"], account["senders"], account["has_password"]) == ("web@example.com", ["@example.com"], True)
    assert run(*words, stdin=b"PLANTED correct horse\n").exit_code == 1
    assert ask(run, place, "account", "disable", "web@example.com")["disabled"] is True
    assert ask(run, place, "account", "enable", "web@example.com")["disabled"] is False
    assert ask(run, place, "account", "senders", "web@example.com", "--sender", "*")["senders"] == ["*"]
    changed = run("account", "password", "web@example.com", "--password-stdin", "--dir", place, stdin=b"short\n")
    assert changed.exit_code == 1
    assert "too short" in changed.output and "short\n" not in changed.output.replace("too short", "")
    assert run("account", "remove", "web@example.com", "--dir", place).exit_code == 2
    assert run("account", "remove", "web@example.com", "--yes", "--dir", place).exit_code == 0
    assert ask(run, place, "account", "list")["accounts"] == []
    assert run("account", "remove", "web@example.com", "--yes", "--dir", place).exit_code == 1


def test_an_app_password_is_shown_once(place: Path, run: Run) -> None:
    assert run("account", "add", "web@example.com", "--no-password", "--dir", place).exit_code == 0
    made = run("account", "app-password", "add", "web@example.com", "printer 2nd floor", "--dir", place)
    assert made.exit_code == 0
    password = made.stdout.strip()
    assert len(password) >= 20
    listed = run("account", "list", "--json", "--dir", place).output
    assert "printer 2nd floor" in listed
    assert password not in listed
    assert ask(run, place, "account", "app-password", "list", "web@example.com")[0]["label"] == "printer 2nd floor"
    again = ("account", "app-password", "revoke", "web@example.com", "printer 2nd floor", "--yes", "--dir", place)
    assert run(*again).exit_code == 0
    assert run(*again).exit_code == 1


def test_secrets_go_in_and_never_come_out(place: Path, run: Run) -> None:
    done = run("secret", "set", "upstream-password", "--stdin", "--dir", place, stdin=b"PLANTED-7f3a\n")
    assert done.exit_code == 0, done.output
    listed = run("secret", "list", "--json", "--dir", place)
    assert [kept["name"] for kept in json.loads(listed.stdout)["secrets"]] == ["upstream-password"]
    assert "PLANTED" not in done.output + listed.output
    kept = [path for path in place.rglob("*") if path.is_file() and b"PLANTED" in path.read_bytes()]
    assert kept == []
    assert run("secret", "set", "bad name", "--stdin", "--dir", place, stdin=b"x").exit_code == 1
    assert run("secret", "set", "empty", "--stdin", "--dir", place, stdin=b"\n").exit_code == 1
    assert run("secret", "remove", "upstream-password", "--yes", "--dir", place).exit_code == 0
    assert run("secret", "remove", "upstream-password", "--yes", "--dir", place).exit_code == 1


def test_the_flow_has_revisions_and_a_way_back(place: Path, run: Run) -> None:
    file = place / "flow.toml"
    assert run("flow", "show", "--dir", place).exit_code == 1
    first = ask(run, place, "flow", "apply", "--comment", "first")
    assert (first["number"], first["changed"], first["in_use"]) == (1, True, False)
    assert ask(run, place, "flow", "apply")["changed"] is False
    assert run("flow", "diff", "--dir", place).exit_code == 0
    file.write_text(FLOW.replace("2600", "2601"))
    compared = run("flow", "diff", "--dir", place)
    assert compared.exit_code == 1
    assert "-port = 2600" in compared.output and "+port = 2601" in compared.output
    assert ask(run, place, "flow", "apply", "--comment", "other port")["number"] == 2
    assert ask(run, place, "flow", "rollback", "1")["number"] == 3
    assert file.read_text() == FLOW
    history = ask(run, place, "flow", "history")["revisions"]
    assert [known["comment"] for known in history] == ["rollback to revision 1", "other port", "first"]
    assert run("flow", "show", "2", "--dir", place).output == FLOW.replace("2600", "2601")


def test_a_flow_with_errors_is_not_applied(place: Path, run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "other.toml"
    wrong.write_text(FLOW.replace("2600", "99999"))
    done = run("flow", "apply", wrong, "--yes", "--dir", place)
    assert done.exit_code == 1
    assert "expected a whole number from 1 to 65535" in done.output
    assert (place / "flow.toml").read_text() == FLOW
    assert run("flow", "show", "--dir", place).exit_code == 1


def test_another_file_takes_the_place_of_the_flow_only_when_that_is_wanted(
    place: Path, run: Run, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(FLOW.replace("2600", "2601"))
    assert run("flow", "apply", other, "--dir", place).exit_code == 2
    assert (place / "flow.toml").read_text() == FLOW
    assert run("flow", "apply", other, "--yes", "--dir", place).exit_code == 0
    assert (place / "flow.toml").read_text() == other.read_text()


def test_unapplied_changes_are_not_rolled_over_silently(place: Path, run: Run) -> None:
    run("flow", "apply", "--dir", place)
    (place / "flow.toml").write_text(FLOW + "# a thought\n")
    done = run("flow", "rollback", "1", "--dir", place)
    assert done.exit_code == 2
    assert "never applied" in done.output


def test_the_flow_is_edited_in_an_editor(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("flow", "apply", "--dir", place)
    monkeypatch.setenv("VISUAL", "sed -i s/2600/2601/")
    done = run("flow", "edit", "--yes", "--dir", place)
    assert done.exit_code == 0, done.output
    assert "+port = 2601" in done.output
    assert "port = 2601" in (place / "flow.toml").read_text()
    assert run("flow", "edit", "--yes", "--dir", place).output == "Nothing was changed.\n"
    monkeypatch.setenv("VISUAL", "sed -i s/2601/99999/")
    wrong = run("flow", "edit", "--yes", "--dir", place)
    assert wrong.exit_code == 1
    assert "port = 2601" in (place / "flow.toml").read_text()


def test_the_directory_can_be_given_in_four_ways(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("queue", "list", "--dir", place).exit_code == 0
    assert run("--dir", place, "queue", "list").exit_code == 0
    assert run("queue", "list").exit_code == 1
    monkeypatch.setenv("POSTHOUSE_DIR", str(place))
    assert run("queue", "list").exit_code == 0
    monkeypatch.delenv("POSTHOUSE_DIR")
    place.rename(place.with_name("posthouse"))
    monkeypatch.chdir(place.parent)
    assert run("queue", "list").exit_code == 0


def test_two_commands_at_the_same_moment_wait_for_each_other(place: Path, run: Run) -> None:
    configuration = load(place)
    lock = NodeLock(configuration.node.store.directory)
    assert lock.take()
    threading.Timer(0.3, lock.release).start()
    assert run("queue", "list", "--dir", place).exit_code == 0


def test_a_store_that_stays_in_use_means_try_again(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.operate.desk.WAIT_SECONDS", 0.1)
    lock = NodeLock(load(place).node.store.directory)
    assert lock.take()
    done = run("send", "--dir", place, "bob@example.org", stdin=MESSAGE)
    lock.release()
    assert done.exit_code == 75
    assert "Traceback" not in done.output


def test_init_keeps_a_password_encrypted(tmp_path: Path, run: Run) -> None:
    words = ("--upstream", "smtps://me@mail.example.com", "--listen", "127.0.0.1:0", "--password-stdin", "--yes")
    done = run("init", "--dir", tmp_path / "new", *words, stdin=b"PLANTED-11\n")
    assert done.exit_code == 0, done.output
    assert 'password = "secret:upstream-password"' in (tmp_path / "new" / "flow.toml").read_text()
    assert run("check", "--dir", tmp_path / "new").exit_code == 0
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"PLANTED" in path.read_bytes()]
    assert kept == []
    assert "PLANTED" not in done.output


@pytest.mark.parametrize("words", [("status",), ("reload",), ("trace", "follow")])
def test_without_a_node_there_is_nothing_to_ask(words: tuple[str, ...], place: Path, run: Run) -> None:
    done = run(*words, "--dir", place)
    assert done.exit_code == 1
    assert "no node runs" in done.output
