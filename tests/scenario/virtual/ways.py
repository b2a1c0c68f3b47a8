"""What an operator writes for each way to send, filled in with where the emulator listens."""

from __future__ import annotations

from m365emu.client_certificates import client_certificates
from m365emu.emulator import Emulator

NODE = """
hostname = "relay.contoso.example"
[store]
directory = "data"
free_space_floor = 0
[log]
level = "error"
[queue]
jitter_percent = 0
expire_after = "{expire_after}"
[[listener]]
name = "devices"
address = "127.0.0.1:0"
tls = "none"
[control]
socket = "c.sock"
"""
FLOW = """
[[domain]]
name = "contoso.example"
[[inbound]]
name = "devices"
networks = ["127.0.0.0/8"]
recipients = "any"
"""
_ENTRA = """
tenant = "{tenant}"
client_id = "{client_id}"
authority = "{authority}"
graph = "{graph}"
ca = "{ca}"
"""
IDENTITIES = {
    "secret": '[[identity]]\nname = "app"\nkind = "client_secret"\nclient_secret = "file:{secret}"' + _ENTRA,
    "certificate": '[[identity]]\nname = "app"\nkind = "certificate"\ncertificate = "{app}"\nkey = "{app_key}"'
    + _ENTRA,
    "person": '[[identity]]\nname = "app"\nkind = "device_code"\nuser = "relay@contoso.example"'
    + _ENTRA.replace("{client_id}", "{public_client_id}"),
    "password": '[[identity]]\nname = "app"\nkind = "password"\npassword = "file:{password}"\n',
    "bulk password": '[[identity]]\nname = "bulk"\nkind = "password"\npassword = "file:{bulk_password}"\n',
}
"""Who logs in."""

_SUBMISSION = """
[[outbound]]
name = "microsoft365"
kind = "submission"
identity = "app"
mailboxes = {mailboxes}
host = "127.0.0.1"
port = {port}
tls_ca = "{ca}"
"""
_GRAPH = """
[[outbound]]
name = "graph"
kind = "graph"
identity = "app"
mailboxes = {mailboxes}
tls_ca = "{ca}"
"""
_MX = """
host = "127.0.0.1"
port = {mx_port}
tls_ca = "{ca}"
"""
OUTBOUND = {
    "submission": _SUBMISSION,
    "graph": _GRAPH,
    "relay": '[[outbound]]\nname = "relay"\nkind = "relay"' + _MX,
    "relay by certificate": '[[outbound]]\nname = "relay"\nkind = "relay"'
    + _MX
    + 'client_certificate = "{client}"\nclient_key = "{client_key}"\n',
    "direct": '[[outbound]]\nname = "direct"\nkind = "direct"' + _MX,
    "hve": '[[outbound]]\nname = "hve"\nkind = "hve"\nidentity = "bulk"\nmailboxes = "bulk@contoso.example"'
    + '\nhost = "127.0.0.1"\nport = {port}\ntls_ca = "{ca}"\n',
}
"""How mail leaves."""


def flow_of(*parts: str) -> str:
    """A flow of identities and connectors by name, and of TOML as it is; several connectors need a route."""
    return FLOW + "\n".join(IDENTITIES.get(part) or OUTBOUND.get(part) or part for part in parts)


def route(*connectors: str) -> str:
    """Fail-over in this order."""
    named = ", ".join(f'"{name}"' for name in connectors)
    return f'[[route]]\nname = "all"\nconnectors = [{named}]\n'


USUAL = {
    "submission": flow_of("secret", "submission"),
    "password": flow_of("password", "submission"),
    "certificate": flow_of("certificate", "submission"),
    "device-code": flow_of("person", "submission"),
    "graph": flow_of("secret", "graph"),
    "relay": flow_of("relay"),
    "direct": flow_of("direct"),
    "hve": flow_of("bulk password", "hve"),
}
"""The flow for each way that a scenario names."""


def values(emulator: Emulator) -> dict[str, object]:
    """What stands in braces in the texts above."""
    home = emulator.control.parts.home
    files = client_certificates(home)
    return {
        "tenant": emulator.tenant.id,
        "client_id": emulator.client_id,
        "public_client_id": emulator.endpoints()["public_client_id"],
        "secret": home.parent / "secret",
        "password": home.parent / "password",
        "bulk_password": home.parent / "bulk-password",
        "authority": emulator.authority,
        "graph": emulator.graph.removesuffix("/v1.0"),
        "ca": emulator.ca,
        "port": emulator.submission.rpartition(":")[2],
        "mx_port": emulator.mx.rpartition(":")[2],
        "app": files.app,
        "app_key": files.app_key,
        "client": files.client,
        "client_key": files.client_key,
    }
