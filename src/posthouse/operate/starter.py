"""The two files that ``posthouse init`` writes: short, commented, and complete enough to relay at once.

Shape: `node_text` and `flow_text` give the text of a file; every line that is commented out is a default or an example.
Leaves to others: judging them (``posthouse.config``), writing (``operate.cli.setup``).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence


def node_text(listen: Sequence[str], hostname: str) -> str:
    """posthouse.toml for listeners on the given addresses."""
    named = f"hostname = {json.dumps(hostname)}\n" if hostname else '# hostname = "relay.example.com"\n'
    listeners = "\n".join(_listener(number, address) for number, address in enumerate(listen))
    return f"""\
# The node: where mail comes in, where it is kept, how it is logged. The mail flow is in flow.toml.
# All settings: `posthouse config reference`. Check with `posthouse check`, use with `posthouse reload`.

# The name in greetings, EHLO and Received fields; default the name of this machine.
{named}
{listeners}
# Devices that log in: uncomment, then `posthouse account add NAME`.
# [[listener]]
# name = "submission"
# address = "0.0.0.0:587"
# require_tls = true

[tls]
# Without these a self-signed certificate is made on first start. Both are read again when they change.
# certificate = "relay.pem"
# key = "relay.key"

[store]
directory = "data"

[queue]
# Exchange's plan: 4 attempts a minute apart, 6 five minutes apart, then every 15 minutes for a day.
# then_every = "15m"
# expire_after = "24h"
# delay_notice_after = "4h"

[log]
# level = "info"
# format = "json"
"""


def _listener(number: int, address: str) -> str:
    port = address.rpartition(":")[2]
    kinds = {"587": ("submission", "starttls"), "465": ("submissions", "implicit")}
    name, tls = kinds.get(port, ("smtp", "starttls"))
    suffix = str(number + 1) if number and name == "smtp" else ""
    return f"""\
[[listener]]
name = "{name}{suffix}"
address = {json.dumps(address)}
tls = "{tls}"
"""


def flow_text(outbound: str, allow: Sequence[str], domains: Sequence[str]) -> str:
    """flow.toml with one way in and one way out.

    Args:
        outbound: Text of the ``[[outbound]]`` table.
        allow: Networks that may send to anywhere without a log-in.
        domains: Accepted domains.
    """
    (connector,) = (table["name"] for table in tomllib.loads(outbound)["outbound"])
    return f"""\
# The mail flow: who may hand mail in, and how it goes out.
# `posthouse flow apply` puts a changed file into use; `posthouse flow history` and `rollback` go back.

{_domains(domains)}
{_inbound(allow)}
# Where mail goes. Secrets are only referred to: "env:NAME", "file:PATH" or "secret:NAME" (`posthouse secret set NAME`).
{outbound}
# With several outbound connectors, routes say which one carries what; the list is fail-over in order.
# [[route]]
# name = "everything"
# recipients = ["*"]
# connectors = ["{connector}"]
"""


def _domains(domains: Sequence[str]) -> str:
    if domains:
        return "# Our own domains.\n" + "\n".join(f"[[domain]]\nname = {json.dumps(name)}\n" for name in domains)
    return '# Our own domains; recipients = "internal" below means these.\n# [[domain]]\n# name = "example.com"\n'


def _inbound(allow: Sequence[str]) -> str:
    networks = json.dumps(list(allow)) if allow else '["192.168.1.0/24"]'
    table = f"""\
[[inbound]]
name = "devices"
networks = {networks}
# To anywhere. "internal": to our own domains only.
recipients = "any"
# Only these senders: addresses, "@domain" or "*".
# senders = ["@example.com"]
"""
    if not allow:
        table = "".join(f"# {line.removeprefix('# ')}\n" for line in table.splitlines())
    return f"# Who may hand mail in without a log-in, by network. Everybody else needs an account.\n{table}"
