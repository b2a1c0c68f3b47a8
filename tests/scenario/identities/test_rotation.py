"""A certificate is replaced: the new one is used once Entra knows it, and not before."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from tests.scenario.identities import entra
from tests.unit.deliver.vaults import MemoryVault

from m365emu.clock import SystemClock
from m365emu.emulator import Emulator, prepare
from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate
from posthouse.deliver.expiry import Expiry, ExpiryWatch
from posthouse.deliver.identity_duties import IdentityDuties
from posthouse.deliver.rotation import NewCertificate, Rotation, RotationProblem
from posthouse.deliver.secrets import Secret, SecretOpener
from posthouse.deliver.tokens import TokenSource


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    entra.write_credentials(tmp_path)
    prepare(tmp_path / "emulator", SystemClock())
    async with Emulator(tmp_path / "emulator", tenant=entra.tenant()) as running:
        yield running


@pytest.fixture
def secrets(tmp_path: Path) -> SecretOpener:
    async def none(_: str) -> None:
        return None

    return SecretOpener(none, tmp_path)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tokens(secrets: SecretOpener) -> TokenSource:
    return TokenSource(secrets, vault=MemoryVault(), clock=now)


FORMS = {
    "PEM with key": {"certificate": "both.pem"},
    "PEM and a key of its own": {"certificate": "app.crt", "key": "app.key"},
    "PEM with a passphrase": {"certificate": "locked.pem", "passphrase": "file:passphrase"},
    "PFX": {"certificate": "app.pfx", "passphrase": "file:passphrase"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_the_old_certificate_serves_until_the_new_one_is_proven(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, tmp_path: Path, form: dict[str, str]
) -> None:
    placed = {key: tmp_path / v if key in ("certificate", "key") else v for key, v in form.items()}
    identity = Certificate(
        name="app",
        tenant=entra.TENANT_ID,
        client_id=entra.CLIENT,
        authority=emulator.authority,
        ca=emulator.ca,
        **placed,  # type: ignore[arg-type]
    )
    rotation = Rotation(tokens, secrets, now)
    assert isinstance(await rotation.finish(identity, "smtp"), RotationProblem)
    old = identity.certificate.read_bytes()

    made = await rotation.begin(identity)
    assert isinstance(made, NewCertificate) and not made.in_use
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in made.public.read_bytes()
    assert timedelta(days=364) < made.ends_at - now() < timedelta(days=366)
    assert await rotation.begin(identity) == made, "a second order shows what waits"

    early = await rotation.finish(identity, "smtp")
    assert isinstance(early, RotationProblem) and "AADSTS700027" in early.reason
    assert identity.certificate.read_bytes() == old
    assert isinstance(await tokens.token(identity, "smtp"), Secret)

    entra.add_certificate(emulator, made.public.read_text())
    done = await rotation.finish(identity, "smtp")
    assert isinstance(done, NewCertificate) and done.in_use, done
    assert done.sha256 == made.sha256 and not rotation.is_pending(identity)
    assert identity.certificate.stat().st_mode & 0o777 == 0o600
    (kept,) = tmp_path.glob("*.old-*")
    assert kept.read_bytes() == old
    assert isinstance(await tokens.token(identity, "graph"), Secret)
    if form.get("passphrase"):
        assert b"BEGIN PRIVATE" not in identity.certificate.read_bytes()


async def test_an_application_adds_its_new_certificate_by_itself(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, tmp_path: Path
) -> None:
    settings = {**entra.settings_of(emulator), "graph": emulator.graph, "certificate": tmp_path / "both.pem"}
    identity = Certificate(**settings)  # type: ignore[arg-type]
    rotation = Rotation(tokens, secrets, now)
    made = await rotation.upload(identity)
    assert isinstance(made, NewCertificate) and not made.in_use, made
    # Ended in the middle: the copy of the old file is there, the new file not yet in its place.
    old = identity.certificate.read_bytes()
    mark = entra.CERTIFICATE.fingerprint(SHA1()).hex()[:8]
    (tmp_path / f"both.old-{mark}.pem").hardlink_to(identity.certificate)
    done = await rotation.finish(identity, "smtp")
    assert isinstance(done, NewCertificate) and done.in_use, done
    assert (tmp_path / f"both.old-{mark}.pem").read_bytes() == old
    again = await rotation.upload(identity)
    assert isinstance(again, NewCertificate) and again.sha256 != made.sha256


async def test_a_certificate_that_graph_does_not_take_is_said_in_its_words(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, tmp_path: Path
) -> None:
    settings = {**entra.settings_of(emulator), "graph": "https://127.0.0.1:1", "certificate": tmp_path / "both.pem"}
    rotation = Rotation(tokens, secrets, now)
    down = await rotation.upload(Certificate(**settings))  # type: ignore[arg-type]
    assert isinstance(down, RotationProblem) and "Graph could not be asked" in down.reason
    wrong = {**settings, "graph": emulator.authority}
    refused = await rotation.upload(Certificate(**wrong))  # type: ignore[arg-type]
    assert isinstance(refused, RotationProblem) and "could not read its own registration: 404" in refused.reason
    assert "eyJ" not in refused.reason + down.reason


async def test_the_daily_duty_takes_a_new_certificate_into_use(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, tmp_path: Path
) -> None:
    identity = Certificate(
        name="app",
        tenant=entra.TENANT_ID,
        client_id=entra.CLIENT,
        authority=emulator.authority,
        ca=emulator.ca,
        certificate=tmp_path / "both.pem",
    )
    flow = Flow(identity=(identity,))

    async def record(_: object) -> None:
        return None

    watch = ExpiryWatch(
        flow=lambda: flow, tokens=tokens, secrets=secrets, vault=MemoryVault(), clock=now, record=record
    )
    rotation = Rotation(tokens, secrets, now)
    duties = IdentityDuties(flow=lambda: flow, tokens=tokens, watch=watch, rotation=rotation)
    made = await rotation.begin(identity)
    assert isinstance(made, NewCertificate)
    await duties.do()
    assert rotation.is_pending(identity)
    entra.add_certificate(emulator, made.public.read_text())
    await duties.do()
    assert not rotation.is_pending(identity)
    known = await watch.known(identity)
    assert isinstance(known, Expiry) and known.days_left >= 363


async def test_a_directory_that_cannot_be_written_is_named(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    identity = Certificate(name="app", tenant="t", client_id="c", certificate=tmp_path / "gone" / "app.pem")
    problem = await Rotation(tokens, secrets, now).begin(identity)
    assert isinstance(problem, RotationProblem) and "no such file" in problem.reason
