"""The main job on the offline Microsoft 365: ``make demo``.

A pretend printer (plain SMTP, no TLS, no password, from an allowed network) and a pretend web site (STARTTLS, account)
hand a message each to a Posthouse node, which sends both through the emulator by OAuth 2.0. The script shows them in
the inbox, and their traces. On a terminal it then keeps serving; without one it ends: 0 after the show, else 1.
"""

from __future__ import annotations

import json
import secrets
import select
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse
import urllib.request
from email.message import EmailMessage
from pathlib import Path

POSTHOUSE = [sys.executable, "-m", "posthouse"]
EMULATOR = [sys.executable, "-m", "m365emu"]
PATIENCE_SECONDS = 60
DOMAIN = "contoso.example"


class Failed(Exception):
    """A step of the demonstration did not work."""


def main() -> int:
    directory = Path(tempfile.mkdtemp(prefix="posthouse-demo-"))
    running: list[subprocess.Popen[str]] = []
    try:
        show(directory, running)
        if sys.stdin.isatty() and sys.stdout.isatty():
            keep_serving(directory)
    except Failed as failure:
        print(f"\nThe demonstration failed: {failure}", file=sys.stderr)
        print(f"Everything it wrote is kept in {directory}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(timeout=30)
    shutil.rmtree(directory)
    return 0


def show(directory: Path, running: list[subprocess.Popen[str]]) -> None:
    emulator, node = directory / "microsoft365", directory / "node"
    say("1. Start the offline Microsoft 365")
    ports = [part for name in ("submission", "mx", "https", "http") for part in (f"--{name}", "127.0.0.1:0")]
    print("  ", start([*EMULATOR, "run", "--dir", str(emulator), *ports], "m365emu ready", running))
    endpoints = json.loads((emulator / "endpoints.json").read_text())

    say("2. Set up a node that sends through it, and start it")
    plain, submission = free_port(2525), free_port(2587)
    upstream = upstream_url(endpoints)
    print(f"   posthouse init --upstream '{upstream}' ...")
    run([*POSTHOUSE, "init", "--dir", str(node), "--upstream", upstream, "--domain", DOMAIN,
         "--listen", f"127.0.0.1:{plain}", "--allow", "127.0.0.0/8", "--yes"])  # fmt: skip
    with (node / "posthouse.toml").open("a") as file:
        file.write(f'\n[[listener]]\nname = "submission"\naddress = "127.0.0.1:{submission}"\nrequire_tls = true\n')
    password = secrets.token_urlsafe(15)
    account = ["account", "add", "website", "--sender", f"website@{DOMAIN}", "--password-stdin", "--dir", str(node)]
    run([*POSTHOUSE, *account], password)
    run([*POSTHOUSE, "check", "--dir", str(node)])
    print("  ", start([*POSTHOUSE, "run", "--dir", str(node)], "posthouse ready", running))

    say(f"3. A printer hands in a scan: plain SMTP on port {plain}, no TLS, no password")
    print_scan(plain)
    say(f"4. A web site hands in an order: STARTTLS and an account on port {submission}")
    confirm_order(submission, password)

    say("5. Both arrive in the inbox of alice@contoso.example, sent by XOAUTH2")
    for message in wait_for_inbox(endpoints["inbox"], 2):
        print("  ", message["received"], message["from"], "-", message["subject"], f"({message['authentication']})")

    say("6. What the node knows of them: posthouse trace search, posthouse trace show")
    print(run([*POSTHOUSE, "trace", "search", "--dir", str(node)]))
    found = json.loads(run([*POSTHOUSE, "trace", "search", "--json", "--dir", str(node)]))
    for row in found["rows"]:
        if row["status"] != "Delivered":
            raise Failed(f"the trace says {row['status']} where Delivered was expected: {row}")
        print(run([*POSTHOUSE, "trace", "show", row["id"], "--dir", str(node)]))

    say("7. Another printer sends under a name that the mailbox may not use: Microsoft says no, Posthouse says why")
    print_scan(plain, sender=f"copier@{DOMAIN}")
    print(wait_for_refusal(node))

    say("8. What is used of Microsoft's limits, and what to do for a real tenant")
    print(run([*POSTHOUSE, "queue", "budgets", "--dir", str(node)]))
    print("   posthouse identity show-steps microsoft365   prints each step in Entra and Exchange, the first of them:")
    steps = run([*POSTHOUSE, "identity", "show-steps", "microsoft365", "--dir", str(node)])
    print("\n".join(steps.splitlines()[:6]))


def upstream_url(endpoints: dict[str, str]) -> str:
    """The URL that a real tenant takes, with the places of the emulator added."""
    host, _, port = endpoints["submission"].rpartition(":")
    query = {
        "sender": f"relay@{DOMAIN}",
        "client_id": endpoints["client_id"],
        "client_secret": f"file:{endpoints['client_secret_file']}",
        "host": host,
        "port": port,
        "authority": endpoints["authority"],
        "graph": endpoints["graph"].removesuffix("/v1.0"),
        "ca": endpoints["ca"],
    }
    return f"microsoft365://{endpoints['tenant']}?{urllib.parse.urlencode(query, safe='@:/')}"


def wait_for_refusal(node: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        listed = run([*POSTHOUSE, "queue", "list", "--dir", str(node)])
        if "SendAsDenied" in listed:
            found = json.loads(run([*POSTHOUSE, "queue", "list", "--json", "--dir", str(node)]))
            return run([*POSTHOUSE, "queue", "show", found["copies"][0]["id"], "--dir", str(node)])
        time.sleep(0.1)
    raise Failed(f"no refusal was seen in the queue within {PATIENCE_SECONDS} seconds")


def print_scan(port: int, sender: str = f"printer@{DOMAIN}") -> None:
    # Written by hand, as such devices do it: no Date, no Message-ID.
    message = (
        f"From: {sender}\r\nTo: alice@{DOMAIN}\r\nSubject: Scan from the second floor\r\n\r\n"
        "Your scan is attached (well, it would be).\r\n"
    )
    with smtplib.SMTP("127.0.0.1", port, local_hostname="MFP-2F") as client:
        client.sendmail(sender, [f"alice@{DOMAIN}"], message)
        print("   accepted, said 250")


def confirm_order(port: int, password: str) -> None:
    message = EmailMessage()
    message["From"], message["To"] = f"website@{DOMAIN}", f"alice@{DOMAIN}"
    message["Subject"] = "Order 1042 confirmed"
    message.set_content("Thank you for your order.\n")
    trusting = ssl.create_default_context()
    # The node made itself a certificate a moment ago; a real client would be given it.
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.starttls(context=trusting)
        client.login("website", password)
        client.send_message(message)
        print("   accepted, said 250")


def wait_for_inbox(inbox: str, wanted: int) -> list[dict[str, str]]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{inbox}/api/mailboxes/alice@{DOMAIN}/messages", timeout=5) as answer:
            document = json.load(answer)
        messages: list[dict[str, str]] = document["messages"] if isinstance(document, dict) else document
        if len(messages) >= wanted:
            return messages
        time.sleep(0.1)
    raise Failed(f"{wanted} messages were expected in the inbox within {PATIENCE_SECONDS} seconds")


def keep_serving(directory: Path) -> None:
    settings = tomllib.loads((directory / "node" / "posthouse.toml").read_text())
    port = settings["listener"][0]["address"].rpartition(":")[2]
    inbox = json.loads((directory / "microsoft365" / "endpoints.json").read_text())["inbox"]
    say("The node and the emulator keep running. Send a message of your own:")
    print(f"   curl smtp://127.0.0.1:{port} --mail-from printer@{DOMAIN} --mail-rcpt bob@{DOMAIN} -T message.eml")
    print(f"   swaks --server 127.0.0.1:{port} --from printer@{DOMAIN} --to bob@{DOMAIN}")
    print(f"   posthouse trace follow --dir {directory / 'node'}")
    print(f"Look into the inboxes: {inbox}   End with Ctrl-C.")
    signal.pause()


def start(command: list[str], ready: str, running: list[subprocess.Popen[str]]) -> str:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    running.append(process)
    assert process.stdout is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 1.0)[0]:
            line = process.stdout.readline()
            if line.startswith(ready):
                return line.strip()
            if not line:
                raise Failed(f"{command[2]} ended with code {process.wait()} before it was ready")
    raise Failed(f"{command[2]} was not ready within {PATIENCE_SECONDS} seconds")


def run(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[1:5])} ended with code {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def free_port(wish: int) -> int:
    for port in (wish, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failed("no free port on 127.0.0.1")


def say(headline: str) -> None:
    print(f"\n{headline}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
