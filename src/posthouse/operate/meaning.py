"""What settings mean together: names that must exist, combinations that cannot work, choices that are risky.

Shape: each function looks at the raw document, so that it finds its problems even where single values are wrong, and at
the settings where they could be read. Errors and warnings are `Problem` values.
Failures: none.
Leaves to others: single values (``operate.findings``), files, ports and names on the network (``operate.checks``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network

from posthouse.decide.flow import Flow
from posthouse.decide.openrelay import open_relay_problems
from posthouse.operate.configuration import NodeSettings
from posthouse.operate.fields import Place
from posthouse.operate.findings import Document, show_value
from posthouse.operate.problem import Problem

WIDE_IPV4_PREFIX = 16
WIDE_IPV6_PREFIX = 48
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[?[0-9A-Fa-f:.]+\]?")


def node_problems(document: Document, node: NodeSettings | None) -> list[Problem]:
    """Problems inside posthouse.toml."""
    found = list(_defined_twice(document, ("listener",), ("name", "address")))
    for place, listener in _items(document, "listener"):
        found += _listener_problems(document, place, listener)
    tls = document.data.get("tls")
    if isinstance(tls, Mapping) and ("certificate" in tls) != ("key" in tls):
        lone, other = ("certificate", "key") if "certificate" in tls else ("key", "certificate")
        found.append(
            document.problem(("tls", lone), message=f"{lone} is given without {other}", hint="name both PEM files")
        )
    if node is not None and node.hostname and not _HOST.fullmatch(node.hostname):
        found.append(
            document.problem(
                ("hostname",), found=show_value(node.hostname), expected='a host name such as "relay.example.com"'
            )
        )
    return found


def _listener_problems(document: Document, place: Place, listener: Mapping[str, object]) -> Iterator[Problem]:
    if listener.get("profile") == "legacy":
        yield _warning(
            document,
            (*place, "profile"),
            "the legacy profile allows TLS 1.0 and 1.1 and old ciphers, which can be broken",
            "use it only on a listener that old devices reach, never on the internet",
        )
    elif listener.get("auth_without_tls") is True:
        yield document.problem(
            (*place, "auth_without_tls"),
            message='passwords on plain connections are only allowed with profile = "legacy"',
            hint="better: teach the device TLS, or let it in by its network with an inbound connector",
        )
    if listener.get("auth_without_tls") is True:
        yield _warning(
            document,
            (*place, "auth_without_tls"),
            "passwords cross the network in clear text",
            "let such devices in by their network instead ([[inbound]] in flow.toml)",
        )
    if listener.get("require_tls") is True and listener.get("tls") == "none":
        yield document.problem(
            (*place, "require_tls"),
            message='no message can come in: TLS is required but tls = "none"',
            hint='use tls = "starttls"',
        )
    if listener.get("client_certificates") is True and not _has(document.data.get("tls"), "client_ca"):
        yield document.problem(
            (*place, "client_certificates"),
            message="client certificates cannot be verified without [tls] client_ca",
            hint="name the PEM file of the authority that issued them",
        )


def flow_problems(document: Document, flow: Flow | None) -> list[Problem]:
    """Problems inside flow.toml."""
    found: list[Problem] = []
    for section in ("domain", "inbound", "outbound", "route"):
        found += _defined_twice(document, (section,), ("name",))
    for place, connector in _items(document, "outbound"):
        found += _outbound_problems(document, place, connector)
    known = _names(document, "outbound")
    for place, route in _items(document, "route"):
        found += _unknown_names(document, (*place, "connectors"), route.get("connectors"), known, "outbound connector")
    if len(known) > 1 and not document.data.get("route"):
        found.append(
            document.problem(
                ("outbound",),
                message="there are several outbound connectors but no route says which one carries what",
                hint='add [[route]] with name, recipients = ["*"] and connectors',
            )
        )
    if not document.data.get("outbound"):
        found.append(
            _warning(document, ("outbound",), "there is no outbound connector: no mail can leave", "add [[outbound]]")
        )
    if flow is not None:
        found += _relay_problems(document, flow)
    return found


def _relay_problems(document: Document, flow: Flow) -> Iterator[Problem]:
    refused = open_relay_problems(flow)
    for sentence in refused:
        named = re.search(r"inbound '([^']+)'", sentence)
        names = [inbound.name for inbound in flow.inbound]
        place: Place = ("inbound", names.index(named[1]), "networks") if named and named[1] in names else ("inbound",)
        yield document.problem(
            place, message=sentence, hint="name only networks that you own, or let devices log in with accounts"
        )
    for position, inbound in enumerate(flow.inbound):
        wide = [
            str(network)
            for network in inbound.networks
            if network.prefixlen < (WIDE_IPV4_PREFIX if isinstance(network, IPv4Network) else WIDE_IPV6_PREFIX)
            and not network.is_loopback
        ]
        if wide and inbound.recipients == "any" and not refused:
            yield _warning(
                document,
                ("inbound", position, "networks"),
                f"every address in {', '.join(wide)} may send to the whole world without a log-in",
                'name smaller networks, or use recipients = "internal"',
            )
        if inbound.recipients == "internal" and not flow.domain:
            yield _warning(
                document,
                ("inbound", position),
                'recipients = "internal" lets nothing through: there is no accepted domain',
                'add [[domain]], or use recipients = "any"',
            )


def _outbound_problems(document: Document, place: Place, connector: Mapping[str, object]) -> Iterator[Problem]:
    kind = connector.get("kind")
    tls = connector.get("tls", "certificate" if kind == "submission" else "opportunistic")
    implicit = connector.get("implicit_tls") is True
    hosts = connector.get("hosts")
    for number, host in enumerate(hosts if isinstance(hosts, list) else ()):
        if isinstance(host, str) and not _HOST.fullmatch(host):
            yield document.problem(
                (*place, "hosts", number),
                found=show_value(host),
                expected="a host name or address alone",
                hint='the port goes into "port", a log-in into "auth"',
            )
    if implicit and tls == "none":
        yield document.problem((*place, "tls"), message='implicit_tls cannot go with tls = "none"')
    if tls == "domain" and not connector.get("tls_domain"):
        yield document.problem(
            (*place, "tls_domain"), message='missing; tls = "domain" needs it', expected="a domain name"
        )
    has_login = "auth" in connector or kind == "submission"
    if has_login and tls in {"none", "opportunistic"} and not implicit:
        yield _warning(
            document,
            (*place, "tls"),
            f'the log-in may cross the network in clear text with tls = "{tls}"',
            'use tls = "certificate"',
        )


def shared_problems(node_document: Document, flow_document: Document) -> list[Problem]:
    """Problems between the two files."""
    found: list[Problem] = []
    listeners = _names(node_document, "listener")
    takes_certificates = any(item.get("client_certificates") is True for _, item in _items(node_document, "listener"))
    for place, inbound in _items(flow_document, "inbound"):
        found += _unknown_names(flow_document, (*place, "listeners"), inbound.get("listeners"), listeners, "listener")
        if inbound.get("certificates") and not takes_certificates:
            found.append(
                _warning(
                    flow_document,
                    (*place, "certificates"),
                    "no listener asks clients for a certificate",
                    "set client_certificates = true on a listener and [tls] client_ca",
                )
            )
    return found


def _items(document: Document, section: str) -> Iterator[tuple[Place, Mapping[str, object]]]:
    items = document.data.get(section)
    for position, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield (section, position), item


def _names(document: Document, section: str) -> list[str]:
    return [item["name"] for _, item in _items(document, section) if isinstance(item.get("name"), str)]  # type: ignore[misc]


def _has(table: object, key: str) -> bool:
    return isinstance(table, Mapping) and key in table


def _defined_twice(document: Document, section: tuple[str], keys: tuple[str, ...]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], Place] = {}
    for place, item in _items(document, section[0]):
        for key in keys:
            value = item.get(key)
            if not isinstance(value, str):
                continue
            first = seen.setdefault((key, value.lower()), place)
            if first != place:
                yield document.problem(
                    (*place, key),
                    message=f"{section[0]} {key} {show_value(value)} is used twice, first in {first[0]}[{first[1]}]",
                )


def _unknown_names(document: Document, place: Place, names: object, known: list[str], what: str) -> Iterator[Problem]:
    for position, name in enumerate(names if isinstance(names, list) else ()):
        if not isinstance(name, str) or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"
        yield document.problem(
            (*place, position),
            found=show_value(name),
            expected=f"the name of an {what}" if what[0] in "aeiou" else f"the name of a {what}",
            hint=hint,
        )


def _warning(document: Document, place: Place, message: str, hint: str) -> Problem:
    return replace(document.problem(place, message=message, hint=hint), severity="warning")
