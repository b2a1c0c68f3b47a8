"""When credentials end, and who is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.scenario.identities import entra
from tests.unit.deliver.vaults import MemoryVault

from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate, ClientSecret, Delegated, Identity, ManagedIdentity
from posthouse.deliver.authority import Answer, Asked
from posthouse.deliver.delegated import SignIn
from posthouse.deliver.expiry import Expiry, ExpiryWatch, NotKnown
from posthouse.deliver.secrets import Secret, SecretOpener
from posthouse.deliver.token_http import Answered
from posthouse.deliver.tokens import TokenSource
from posthouse.mail.event import Event, EventKind
from posthouse.trace.timeline import describe_event

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
APP = {"tenant": "contoso.example", "client_id": "client"}


async def _secret(name: str) -> str | None:
    return {"app": "abc-planted-1"}.get(name)


class Scene:
    """A watch, its clock, and what it told."""

    def __init__(self, directory: Path, *identities: Identity, ends: Sequence[tuple[str, str]] | None = None) -> None:
        self.now = NOW
        self.ends = ends
        self.warnings: list[Expiry] = []
        self.events: list[Event] = []
        self.urls: list[str] = []
        self.vault = MemoryVault()
        self.flow = Flow(identity=identities)
        self.open_watch(directory)

    def open_watch(self, directory: Path) -> None:
        secrets = SecretOpener(_secret, directory)
        self.tokens = TokenSource(secrets, self.ask, lambda: 0.0, vault=self.vault, clock=lambda: self.now)
        self.watch = ExpiryWatch(
            flow=lambda: self.flow,
            tokens=self.tokens,
            secrets=secrets,
            vault=self.vault,
            clock=lambda: self.now,
            record=self.record,
            on_warning=self.warnings.append,
            fetch=self.fetch,
        )

    def ask(self, asked: Asked) -> Answer:
        return {"access_token": "t", "expires_in": 3600}

    def fetch(self, url: str, token: Secret, ca: Path | None) -> Answered:
        self.urls.append(url)
        if self.ends is None:
            return Answered(403, '{"error": {"code": "Authorization_RequestDenied"}}', {})
        found = [{"hint": hint, "endDateTime": end} for hint, end in self.ends]
        return Answered(200, json.dumps({"passwordCredentials": found}), {})

    async def record(self, events: Sequence[Event]) -> None:
        self.events += events


def secret(**more: object) -> ClientSecret:
    return ClientSecret(name="app", client_secret="secret:app", **APP, **more)  # type: ignore[arg-type]


async def test_a_warning_comes_once_for_each_step_and_survives_a_restart(tmp_path: Path) -> None:
    scene = Scene(tmp_path, secret(expires=date(2027, 2, 1)))
    told = []
    for day in range(80):
        scene.now = NOW + timedelta(days=day)
        if day % 7 == 3:
            scene.open_watch(tmp_path)
        told += [(day, expiry.days_left) for expiry in await scene.watch.look()]
    assert [left for _, left in told] == [60, 30, 7, 1, 0]
    assert [expiry.days_left for expiry in scene.warnings] == [60, 30, 7, 1, 0]
    assert {event.kind for event in scene.events} == {EventKind.EXPIRES} and len(scene.events) == 5
    assert scene.events[0].detail["source"] == "declared" and scene.events[0].message_id is None
    told_text = describe_event(scene.events[0]).text
    assert told_text.startswith("The client secret of the identity app ends 2027-02-01 00:00:00 UTC"), told_text
    assert "planted" not in repr(scene.events) + repr(scene.vault.values)


async def test_a_node_that_starts_late_warns_once_and_a_new_secret_begins_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path, secret(expires=date(2026, 11, 25)))
    assert [expiry.days_left for expiry in await scene.watch.look()] == [3]
    assert await scene.watch.look() == []
    scene.flow = Flow(identity=(secret(expires=date(2026, 12, 20)),))
    assert [expiry.days_left for expiry in await scene.watch.look()] == [28]


async def test_entra_knows_better_than_the_flow_when_a_secret_ends(tmp_path: Path) -> None:
    ends = [("xyz", "2026-12-01T00:00:00Z"), ("abc", "2027-05-01T10:00:00.1234567Z"), ("abc", "2028-01-01T00:00:00Z")]
    scene = Scene(tmp_path, secret(expires=date(2030, 1, 1)), ends=ends)
    assert await scene.watch.look() == []
    known = await scene.watch.known(scene.flow.identity[0])
    assert isinstance(known, Expiry)
    assert (known.source, known.ends_at.date(), known.what) == ("entra", date(2027, 5, 1), "client secret")
    assert scene.urls == ["https://graph.microsoft.com/v1.0/applications(appId='client')?$select=passwordCredentials"]


@pytest.mark.parametrize("ends", [None, [], [("xyz", "2026-12-01T00:00:00Z")], [("abc", "soon")]])
async def test_what_entra_does_not_tell_is_taken_from_the_flow(
    tmp_path: Path, ends: Sequence[tuple[str, str]] | None
) -> None:
    scene = Scene(tmp_path, secret(expires=date(2030, 1, 1)), ends=ends)
    await scene.watch.look()
    known = await scene.watch.known(scene.flow.identity[0])
    assert isinstance(known, Expiry) and known.source == "declared"
    unknown = await scene.watch.known(secret())
    assert isinstance(unknown, NotKnown) and "Application.Read.All" in unknown.reason


async def test_an_answer_nested_beyond_reason_tells_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, secret(expires=date(2030, 1, 1)), ends=[])
    scene.watch._fetch = lambda *_: Answered(200, "[" * 100_000, {})
    await scene.watch.look()
    known = await scene.watch.known(scene.flow.identity[0])
    assert isinstance(known, Expiry) and known.source == "declared"


async def test_a_certificate_ends_when_its_file_says_so(tmp_path: Path) -> None:
    entra.write_credentials(tmp_path)
    settings = {**APP, "certificate": tmp_path / "app.pfx", "passphrase": "file:passphrase"}
    scene = Scene(tmp_path, Certificate(name="cert", **settings), ManagedIdentity(name="machine"))  # type: ignore[arg-type]
    (found,) = await scene.watch.all()
    assert (found.source, found.what) == ("file", "certificate")
    assert found.ends_at == entra.CERTIFICATE.not_valid_after_utc
    assert await scene.watch.known(scene.flow.identity[1]) is None
    (tmp_path / "app.pfx").unlink()
    broken = await scene.watch.known(scene.flow.identity[0])
    assert isinstance(broken, NotKnown) and "no such file" in broken.reason


async def test_a_sign_in_ends_ninety_days_after_it_was_renewed(tmp_path: Path) -> None:
    alice = Delegated(name="alice", kind="device_code", user="alice@contoso.example", **APP)
    scene = Scene(tmp_path, alice)
    assert await scene.watch.known(alice) == NotKnown("not signed in")
    assert scene.tokens.sign_ins is not None
    sign_in = SignIn(cache="{}", user=alice.user, purpose="smtp", signed_in_at=NOW, refreshed_at=NOW)
    await scene.tokens.sign_ins.write("alice", sign_in)
    scene.now = NOW + timedelta(days=31)
    (expiry,) = await scene.watch.look()
    assert (expiry.what, expiry.days_left, expiry.source) == ("sign-in", 59, "last renewal")
