"""Where mail shall go, written as one URL, as an outbound connector.

Source: ``posthouse init --upstream``; Microsoft 365's submission host takes OAuth 2.0 tokens (RFC 6749 4.4).
Shape: `read_upstream` turns a URL into the text of an ``[[outbound]]`` table, and says which secret is still missing.
Failures: `UpstreamRefused` with a hint. A password never belongs into the URL: other users see command lines.
Leaves to others: asking for the secret and keeping it (``operate.cli.setup``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

FORMS = (
    "smtp://HOST:PORT",
    "smtp://USER@HOST:587",
    "smtps://USER@HOST:465",
    "microsoft365://TENANT?sender=A@B&client_id=ID",
    "graph://TENANT?sender=A@B&client_id=ID",
    "emulator:DIRECTORY",
    "mx",
)
_SENDERS = """\
# Microsoft 365 takes only senders that the mailbox may send as. To let devices send under names of their own:
# sender_handling = "rewrite"   # From becomes the mailbox; the original stays in Reply-To
"""
REFERENCES = ("env:", "file:", "secret:")


@dataclass(frozen=True, slots=True)
class UpstreamRefused:
    """The URL cannot be used."""

    reason: str
    hint: str = f"known forms: {', '.join(FORMS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An outbound connector.

    Attributes:
        toml: Text of its table, and of its identity's.
        secret: Name of a secret that must be put into the store, or None.
        prompt: How to ask for it.
    """

    toml: str
    secret: str | None = None
    prompt: str = ""


def read_upstream(url: str) -> Upstream | UpstreamRefused:
    """Read one URL. Files are only looked for, but for those of ``emulator:``."""
    if url == "mx":
        return Upstream(toml=_table({"name": "mx", "kind": "mx", "tls": "opportunistic"}))
    if url == "emulator" or url.startswith("emulator:"):
        return _emulator(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return UpstreamRefused("the port is not a number from 1 to 65535")
    if parts.password is not None:
        return UpstreamRefused("a password does not belong on a command line", hint="leave it out; it is asked for")
    match parts.scheme:
        case "smtp" | "smtps":
            return _smarthost(parts, port)
        case "microsoft365":
            return _microsoft365(parts)
        case "graph":
            return _microsoft365(parts, by_graph=True)
        case _:
            return UpstreamRefused(f"{url[:60]!r} is not understood")


def _smarthost(parts: SplitResult, port: int | None) -> Upstream | UpstreamRefused:
    if not parts.hostname or parts.path not in {"", "/"}:
        return UpstreamRefused("the host is missing" if not parts.hostname else "nothing may stand behind the port")
    implicit = parts.scheme == "smtps"
    settings: dict[str, object] = {
        "name": "upstream",
        "kind": "smarthost",
        "hosts": [parts.hostname],
        "port": port or (465 if implicit else 587 if parts.username else 25),
        "tls": "certificate" if implicit or parts.username else "opportunistic",
    }
    if implicit:
        settings["implicit_tls"] = True
    if not parts.username:
        return Upstream(toml=_table(settings))
    login: dict[str, object] = {"username": parts.username.replace("%40", "@"), "password": "secret:upstream-password"}
    return Upstream(
        toml=f"{_table(settings)}\n[outbound.auth]\n{_lines(login)}",
        secret="upstream-password",
        prompt=f"Password of {login['username']} at {parts.hostname}",
    )


def _microsoft365(parts: SplitResult, *, by_graph: bool = False) -> Upstream | UpstreamRefused:
    values = parse_qs(parts.query, keep_blank_values=True)
    given = _from_here({key: found[-1] for key, found in values.items()})
    allowed = {"sender", "client_id", "client_secret", "certificate", "password", "host", "port", "authority", "ca"}
    allowed |= {"cloud", "user", "graph"}
    unknown = sorted(set(given) - allowed)
    if unknown:
        return UpstreamRefused(f"{unknown[0][:40]!r} is not known in {parts.scheme}://")
    tenant = parts.hostname or ""
    by_password = "password" in given
    missing = [name for name in ("sender", *(() if by_password else ("client_id",))) if not given.get(name)]
    if missing or not tenant:
        return UpstreamRefused(f"missing in {parts.scheme}://: {', '.join(missing) or 'the tenant'}")
    identity = _identity(tenant, given)
    if isinstance(identity, UpstreamRefused):
        return identity
    settings: dict[str, object] = {
        "name": "graph" if by_graph else "microsoft365",
        "kind": "graph" if by_graph else "submission",
        "identity": "microsoft365",
        "mailboxes": values["sender"],
    }
    settings |= {name: given[name] for name in ("host",) if given.get(name)}
    if given.get("ca"):
        settings["tls_ca"] = given["ca"]
    if given.get("port"):
        if not given["port"].isdigit():
            return UpstreamRefused("the port is not a number")
        settings["port"] = int(given["port"])
    return replace(identity, toml=f"{identity.toml}\n{_table(settings)}{_SENDERS}")


def _identity(tenant: str, given: dict[str, str]) -> Upstream | UpstreamRefused:
    """The table of who logs in, and the secret that is still missing."""
    settings: dict[str, object] = {"name": "microsoft365"}
    if given.get("user"):
        settings |= {"kind": "device_code", "tenant": tenant, "client_id": given["client_id"], "user": given["user"]}
        return Upstream(toml=_table(settings | _authority(given), "identity"))
    if given.get("certificate"):
        settings |= {"kind": "certificate", "tenant": tenant, "client_id": given["client_id"]}
        settings["certificate"] = given["certificate"]
        return Upstream(toml=_table(settings | _authority(given), "identity"))
    by_password = "password" in given
    key = "password" if by_password else "client_secret"
    name = "microsoft365-password" if by_password else "microsoft365-client-secret"
    settings |= {"kind": key, "tenant": tenant}
    if not by_password:
        settings["client_id"] = given["client_id"]
    reference = given.get(key, "")
    if reference and not reference.startswith(REFERENCES):
        return UpstreamRefused(
            f"{key} is the secret itself, which does not belong on a command line",
            hint=f'leave it out, it is asked for; or give a reference: {key}="env:NAME" or "file:PATH"',
        )
    settings[key] = reference or f"secret:{name}"
    if not by_password:
        settings |= _authority(given)
    what = f"Password of {given['sender']}" if by_password else f"Client secret of application {given['client_id']}"
    return Upstream(toml=_table(settings, "identity"), secret=None if reference else name, prompt=what)


def _from_here(given: dict[str, str]) -> dict[str, str]:
    """Files that are named as they are reached from here; paths in the flow start at its own directory."""
    found = dict(given)
    for name in ("ca", "certificate", "client_secret", "password"):
        value = given.get(name, "")
        prefix = "file:" if name in {"client_secret", "password"} else ""
        path = Path(value.removeprefix(prefix))
        if value.startswith(prefix) and value != prefix and path.is_file():
            found[name] = f"{prefix}{path.absolute()}"
    return found


def _authority(given: dict[str, str]) -> dict[str, object]:
    return {name: given[name] for name in ("cloud", "authority", "graph", "ca") if given.get(name)}


def _emulator(url: str) -> Upstream | UpstreamRefused:
    place, _, query = url.removeprefix("emulator").removeprefix(":").partition("?")
    path = Path(place or "m365emu") / "endpoints.json"
    wanted = parse_qs(query)
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        identity: dict[str, object] = {
            "name": "microsoft365",
            "kind": "client_secret",
            "tenant": found["tenant"],
            "client_id": found["client_id"],
            "client_secret": f"file:{found['client_secret_file']}",
            "authority": found["authority"] if "://" in found["authority"] else f"https://{found['authority']}",
            **({"graph": found["graph"].removesuffix("/v1.0")} if found.get("graph") else {}),
            "ca": found["ca"],
        }
        mailboxes = wanted.get("sender", [f"relay@{found['domain']}"])
        settings: dict[str, object] = {
            "name": "microsoft365",
            "identity": "microsoft365",
            "mailboxes": mailboxes,
            "tls_ca": found["ca"],
        }
        if wanted.get("by") == ["graph"]:
            settings["kind"] = "graph"
        else:
            host, _, port = found["submission"].rpartition(":")
            settings |= {"kind": "submission", "host": host.strip("[]"), "port": int(port)}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = f"{path} is missing" if isinstance(error, FileNotFoundError) else f"{path} cannot be used"
        return UpstreamRefused(
            reason, hint="start the emulator first (m365emu run --dir D), then --upstream emulator:D"
        )
    return Upstream(toml=f"{_table(identity, 'identity')}\n{_table(settings)}{_SENDERS}")


def _table(settings: dict[str, object], name: str = "outbound") -> str:
    return f"[[{name}]]\n{_lines(settings)}"


def _lines(settings: dict[str, object]) -> str:
    # JSON's strings, numbers, booleans and flat lists are TOML's as well.
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
