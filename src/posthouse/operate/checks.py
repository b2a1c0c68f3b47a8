"""What only the running system shows: ports, certificates, secrets, files that others can read, names on the network.

Shape: each function looks at one thing and gives `Problem` values; nothing is changed, what is bound is released.
Failures: none; a look that fails is a problem of its own.
Leaves to others: what the files say (``posthouse.config``), the words on the terminal (``operate.cli.check``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate
from posthouse.decide.outbound import Acs, Direct, Hve, Relay, Smarthost, Submission
from posthouse.decide.policy import Policy
from posthouse.deliver.assertions import CredentialProblem, read_key_pair
from posthouse.deliver.secrets import Lookup, SecretOpener, SecretProblem
from posthouse.deliver.worker import submission_host
from posthouse.net.contexts import CertificateProblem, load_pair, server_context
from posthouse.operate.configuration import Configuration, NodeSettings
from posthouse.operate.names import FLOW_FILE, NODE_FILE
from posthouse.operate.problem import Problem

EXPIRY_WARNING = timedelta(days=30)
CONNECT_SECONDS = 5.0
_BIND_HINTS = {
    errno.EADDRINUSE: "another program listens there: `ss -ltnp` names it",
    errno.EACCES: "ports below 1024 need root, or the systemd unit that grants CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine does not have that address: `ip address` lists those it has",
}


def listener_problems(node: NodeSettings) -> Iterator[Problem]:
    """Bind each listener's address and release it again."""
    for position, listener in enumerate(node.listener):
        host, _, port = listener.address.rpartition(":")
        reason = _bind(host.strip("[]"), int(port))
        if reason is not None:
            yield Problem(
                file=NODE_FILE,
                key=f"listener[{position}].address",
                message=f"{listener.address} cannot be used: {reason[0]}",
                hint=reason[1],
            )


def _bind(host: str, port: int) -> tuple[str, str] | None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST)
    except socket.gaierror:
        return "it is not an address of this machine", 'use an address such as "0.0.0.0:25" or "[::]:25"'
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            return (error.strerror or "unknown").lower(), _BIND_HINTS.get(error.errno or 0, "")
    return None


def certificate_problems(configuration: Configuration) -> Iterator[Problem]:
    """Certificates that do not parse, do not fit their key, are not valid now or end soon."""
    tls, now = configuration.node.tls, datetime.now(UTC)
    if tls.certificate is not None and tls.key is not None:
        try:
            server_context(tls.certificate, tls.key, ask_client=tls.client_ca is not None, client_ca=tls.client_ca)
        except CertificateProblem as problem:
            yield Problem(file=NODE_FILE, key="tls.certificate", message=str(problem))
        else:
            yield from _validity(tls.certificate, NODE_FILE, "tls.certificate", now)
    for position, connector in enumerate(configuration.flow.outbound):
        if connector.client_certificate is None:
            continue
        key = f"outbound[{position}].client_certificate"
        try:
            load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connector.client_certificate, connector.client_key)
        except CertificateProblem as problem:
            yield Problem(file=FLOW_FILE, key=key, message=str(problem))
        else:
            yield from _validity(connector.client_certificate, FLOW_FILE, key, now)


async def identity_problems(flow: Flow, lookup: Lookup | None) -> list[Problem]:
    """Certificates that identities log in with and cannot be used; an encrypted key waits for its passphrase."""
    found: list[Problem] = []
    for position, identity in enumerate(flow.identity):
        if not isinstance(identity, Certificate):
            continue
        passphrase = None
        if identity.passphrase is not None:
            opened = await SecretOpener(lookup or _nothing).open(identity.passphrase)
            if isinstance(opened, SecretProblem):
                continue
            passphrase = opened
        pair = read_key_pair(identity.certificate, identity.key, passphrase)
        if isinstance(pair, CredentialProblem):
            found.append(Problem(file=FLOW_FILE, key=f"identity[{position}].certificate", message=pair.reason))
    return found


def authority_problems(flow: Flow) -> Iterator[Problem]:
    """Files of further authorities that cannot be used: no token and no connection would come about."""
    named: list[tuple[str, Path | None]] = []
    named += [(f"identity[{position}].ca", getattr(known, "ca", None)) for position, known in enumerate(flow.identity)]
    named += [(f"outbound[{position}].tls_ca", known.tls_ca) for position, known in enumerate(flow.outbound)]
    for key, path in named:
        if path is None:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            message = f"{path}: no certificate authority in PEM form was found"
            yield Problem(file=FLOW_FILE, key=key, message=message)
        except OSError as error:
            message = f"{path} cannot be read: {(error.strerror or 'unknown').lower()}"
            yield Problem(file=FLOW_FILE, key=key, message=message)


def _validity(path: Path, file: str, key: str, now: datetime) -> Iterator[Problem]:
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    hint = "renew it; the node takes a new file over by itself"
    if now > ends:
        # Mail still flows, for clients that do not look; a node that will not start would stop it for all.
        yield Problem(severity="warning", file=file, key=key, message=f"{path} expired on {ends:%Y-%m-%d}", hint=hint)
    elif now < begins:
        yield Problem(severity="warning", file=file, key=key, message=f"{path} is not valid before {begins:%Y-%m-%d}")
    elif ends - now < EXPIRY_WARNING:
        days = (ends - now).days
        yield Problem(severity="warning", file=file, key=key, message=f"{path} expires in {days} days", hint=hint)


def secret_references(flow: Flow) -> Mapping[str, str]:
    """Every reference to a secret by the key where it stands."""
    found: dict[str, str] = {}
    for position, connector in enumerate(flow.outbound):
        place = f"outbound[{position}]"
        if isinstance(connector, Smarthost) and connector.auth is not None and connector.auth.password is not None:
            found[f"{place}.auth.password"] = connector.auth.password
    for position, identity in enumerate(flow.identity):
        for name in ("client_secret", "password", "passphrase"):
            if (reference := getattr(identity, name, None)) is not None:
                found[f"identity[{position}].{name}"] = reference
    return found


async def secret_problems(flow: Flow, lookup: Lookup | None) -> list[Problem]:
    """References that cannot be opened; without `lookup` those to the store are left out."""

    opener = SecretOpener(lookup or _nothing)
    found: list[Problem] = []
    for key, reference in secret_references(flow).items():
        if reference.startswith("secret:") and lookup is None:
            continue
        opened = await opener.open(reference)
        if isinstance(opened, SecretProblem):
            name = reference.removeprefix("secret:")
            hint = f"posthouse secret set {name}" if reference.startswith("secret:") else ""
            found.append(Problem(file=FLOW_FILE, key=key, message=opened.reason, hint=hint))
    return found


async def _nothing(name: str) -> str | None:
    return None


def exposed_files(configuration: Configuration) -> Iterator[Problem]:
    """Keys and secrets that every user of this machine can read."""
    private = {"tls.key": (NODE_FILE, configuration.node.tls.key)}
    for position, connector in enumerate(configuration.flow.outbound):
        private[f"outbound[{position}].client_key"] = (FLOW_FILE, connector.client_key)
    for position, identity in enumerate(configuration.flow.identity):
        for name in ("certificate", "key"):
            private[f"identity[{position}].{name}"] = (FLOW_FILE, getattr(identity, name, None))
    for key, reference in secret_references(configuration.flow).items():
        if reference.startswith("file:"):
            private[key] = (FLOW_FILE, Path(reference.removeprefix("file:")))
    for key, (file, path) in private.items():
        try:
            mode = path.stat().st_mode if path is not None else 0
        except OSError:
            continue
        if path is not None and mode & 0o004 and not (key.endswith(".certificate") and _is_public(path)):
            message = f"every user of this machine can read {path}"
            yield Problem(severity="warning", file=file, key=key, message=message, hint=f"chmod o-r {path}")


def _is_public(path: Path) -> bool:
    """A certificate in PEM form, without its key."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return b"-----BEGIN CERTIFICATE" in data and b"PRIVATE KEY" not in data


def directory_problem(node: NodeSettings) -> Problem | None:
    """The store's directory cannot be made or written."""
    place = node.store.directory
    nearest = next((path for path in (place, *place.parents) if path.exists()), Path("/"))
    if not nearest.is_dir():
        return Problem(file=NODE_FILE, key="store.directory", message=f"{nearest} is not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        message = f"{nearest} cannot be written by this user"
        return Problem(file=NODE_FILE, key="store.directory", message=message, hint="run the check as the node's user")
    return None


async def upstream_problems(flow: Flow) -> list[Problem]:
    """Connect to every host that mail shall go to, and close again."""
    wanted: list[tuple[str, str, int]] = []
    ways = Policy(flow).ways
    for position, connector in enumerate(flow.outbound):
        if isinstance(connector, Smarthost):
            wanted += [
                (f"outbound[{position}].hosts[{number}]", host, connector.port)
                for number, host in enumerate(connector.hosts)
            ]
        elif isinstance(connector, Submission | Hve | Acs | Relay | Direct) and (
            host := submission_host(ways[connector.name])
        ):
            wanted.append((f"outbound[{position}].host", host, connector.port))
    results = await asyncio.gather(*(_try_to_connect(host, port) for _, host, port in wanted))
    return [
        Problem(file=FLOW_FILE, key=key, message=f"{host}:{port} cannot be reached: {reason}")
        for (key, host, port), reason in zip(wanted, results, strict=True)
        if reason is not None
    ]


async def _try_to_connect(host: str, port: int) -> str | None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), port)
    except TimeoutError:
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    except socket.gaierror as error:
        return f"the name has no address ({error.strerror})"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    writer.close()
    return None
