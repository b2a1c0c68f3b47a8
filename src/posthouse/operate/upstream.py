"""Where mail shall go, written as one URL, as an outbound connector.

Source: ``posthouse init --upstream``; Microsoft 365's submission host takes OAuth 2.0 tokens (RFC 6749 4.4).
Shape: `read_upstream` turns a URL into the text of an ``[[outbound]]`` table, and says which secret is still missing.
Failures: `UpstreamRefused` with a hint. A password never belongs into the URL: other users see command lines.
Leaves to others: asking for the secret and keeping it (``operate.cli.setup``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

FORMS = (
    "smtp://HOST:PORT",
    "smtp://USER@HOST:587",
    "smtps://USER@HOST:465",
    "microsoft365://TENANT?sender=A@B&client_id=ID",
    "emulator:DIRECTORY",
    "mx",
)
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
        toml: Text of its table.
        secret: Name of a secret that must be put into the store, or None.
        prompt: How to ask for it.
    """

    toml: str
    secret: str | None = None
    prompt: str = ""


def read_upstream(url: str) -> Upstream | UpstreamRefused:
    """Read one URL. Only ``emulator:`` looks at a file."""
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
            return UpstreamRefused(
                "sending by Microsoft Graph is not available in this version", hint="use microsoft365://"
            )
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


def _microsoft365(parts: SplitResult) -> Upstream | UpstreamRefused:
    given = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    unknown = sorted(set(given) - {"sender", "client_id", "client_secret", "password", "host", "port", "authority"})
    if unknown:
        return UpstreamRefused(f"{unknown[0][:40]!r} is not known in microsoft365://")
    tenant = parts.hostname or ""
    by_password = "password" in given
    missing = [name for name in ("sender", *(() if by_password else ("client_id",))) if not given.get(name)]
    if missing or not tenant:
        return UpstreamRefused(f"missing in microsoft365://: {', '.join(missing) or 'the tenant'}")
    settings: dict[str, object] = {"name": "microsoft365", "kind": "submission", "mailbox": given["sender"]}
    key, name = (
        ("password", "microsoft365-password") if by_password else ("client_secret", "microsoft365-client-secret")
    )
    if not by_password:
        settings |= {"tenant": tenant, "client_id": given["client_id"]}
    reference = given.get(key, "")
    if reference and not reference.startswith(REFERENCES):
        return UpstreamRefused(
            f"{key} is the secret itself, which does not belong on a command line",
            hint=f'leave it out, it is asked for; or give a reference: {key}="env:NAME" or "file:PATH"',
        )
    settings[key] = reference or f"secret:{name}"
    settings |= {name: given[name] for name in ("host", "authority") if given.get(name)}
    if given.get("port"):
        if not given["port"].isdigit():
            return UpstreamRefused("the port is not a number")
        settings["port"] = int(given["port"])
    what = f"Password of {given['sender']}" if by_password else f"Client secret of application {given['client_id']}"
    return Upstream(toml=_table(settings), secret=None if reference else name, prompt=what)


def _emulator(url: str) -> Upstream | UpstreamRefused:
    place, _, query = url.removeprefix("emulator").removeprefix(":").partition("?")
    path = Path(place or "m365emu") / "endpoints.json"
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        host, _, port = found["submission"].rpartition(":")
        settings: dict[str, object] = {
            "name": "microsoft365",
            "kind": "submission",
            "host": host.strip("[]"),
            "port": int(port),
            "mailbox": parse_qs(query).get("sender", [f"relay@{found['domain']}"])[-1],
            "tenant": found["tenant"],
            "client_id": found["client_id"],
            "client_secret": f"file:{found['client_secret_file']}",
            "authority": found["authority"] if "://" in found["authority"] else f"https://{found['authority']}",
            "tls_ca": found["ca"],
        }
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = f"{path} is missing" if isinstance(error, FileNotFoundError) else f"{path} cannot be used"
        return UpstreamRefused(
            reason, hint="start the emulator first (m365emu run --dir D), then --upstream emulator:D"
        )
    return Upstream(toml=_table(settings))


def _table(settings: dict[str, object]) -> str:
    return f"[[outbound]]\n{_lines(settings)}"


def _lines(settings: dict[str, object]) -> str:
    # JSON's strings, numbers, booleans and flat lists are TOML's as well.
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
