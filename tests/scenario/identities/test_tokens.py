"""Every kind of identity gets its tokens from the offline Entra, and the submission host takes them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.scenario.deliver.test_submission import CONTENT, submission
from tests.scenario.identities import entra
from tests.scenario.identities.conftest import Time
from tests.unit.deliver.jobs import Unlimited, message, one
from tests.unit.deliver.vaults import MemoryVault

from m365emu.emulator import Emulator
from m365emu.faults import Fault
from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate, Delegated, Entra, ManagedIdentity, Workload
from posthouse.deliver.expiry import Expiry, ExpiryWatch
from posthouse.deliver.secrets import Secret, SecretOpener
from posthouse.deliver.sign_in import Pending, SignInDesk
from posthouse.deliver.tokens import Purpose, TokenProblem, TokenSource
from posthouse.deliver.worker import Worker
from posthouse.mail.outcome import Delivered


def person(emulator: Emulator, kind: str = "device_code") -> Delegated:
    settings = {**entra.settings_of(emulator), "name": "alice", "client_id": entra.PUBLIC}
    return Delegated(kind=kind, user="alice@contoso.example", **settings)  # type: ignore[arg-type]


async def no_secret(_: str) -> None:
    return None


async def is_delivered(emulator: Emulator, identity: Entra, tokens: TokenSource, mailbox: str) -> bool:
    worker = Worker(
        hostname="relay.example",
        secrets=SecretOpener(no_secret),
        random=Random(1),
        budgets=Unlimited(),
        tokens=tokens,
    )
    letter = message(
        ("relay@contoso.example",), CONTENT.replace(b"printer@contoso.example", mailbox.encode()), sender=mailbox
    )
    result = await one(worker, submission(emulator, identity, mailboxes=mailbox), letter)  # type: ignore[arg-type]
    worker.close()
    assert isinstance(result.outcome, Delivered), result
    return True


FORMS = {
    "PEM with key": {"certificate": "both.pem"},
    "PEM and a key of its own": {"certificate": "app.crt", "key": "app.key"},
    "PEM with a passphrase": {"certificate": "locked.pem", "passphrase": "file:passphrase"},
    "PFX": {"certificate": "app.pfx", "passphrase": "file:passphrase"},
    "with its chain": {"certificate": "both.pem", "send_chain": True},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_certificate_in_every_form_gets_tokens_that_send(
    emulator: Emulator, tokens: TokenSource, tmp_path: Path, form: dict[str, object]
) -> None:
    placed = {key: tmp_path / str(v) if key in ("certificate", "key") else v for key, v in form.items()}
    identity = Certificate(**entra.settings_of(emulator), **placed)  # type: ignore[arg-type]
    assert await is_delivered(emulator, identity, tokens, "relay@contoso.example")
    assert isinstance(await tokens.token(identity, "graph"), Secret)


async def test_another_issuers_token_is_read_anew_each_time(
    emulator: Emulator, tokens: TokenSource, tmp_path: Path
) -> None:
    identity = Workload(**entra.settings_of(emulator), token_file=tmp_path / "token")  # type: ignore[arg-type]
    (tmp_path / "token").write_text("not.a.token")
    problem = await tokens.token(identity, "smtp")
    assert isinstance(problem, TokenProblem) and "AADSTS" in problem.code
    (tmp_path / "token").write_text(entra.foreign_token())
    tokens.forget(identity, "smtp")
    assert await is_delivered(emulator, identity, tokens, "relay@contoso.example")


@pytest.mark.parametrize("client_id", [None, entra.CLIENT], ids=["system-assigned", "user-assigned"])
async def test_the_machines_own_identity_needsno_secret(
    emulator: Emulator, tokens: TokenSource, monkeypatch: pytest.MonkeyPatch, client_id: str | None
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.inbox)
    # A proxy that is set for everything else must not be asked for what never leaves the machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    identity = ManagedIdentity(name="machine", client_id=client_id)
    assert await is_delivered(emulator, identity, tokens, "relay@contoso.example")


async def test_a_person_signs_in_by_a_code_and_stays_signed_in(
    emulator: Emulator, tokens: TokenSource, desk: SignInDesk, vault: MemoryVault, at: Time
) -> None:
    alice = person(emulator)
    problem = await tokens.token(alice, "smtp")
    assert isinstance(problem, TokenProblem) and problem.needs_operator
    assert "posthouse identity login alice" in problem.reason
    begun = await desk.begin(alice, "smtp")
    assert not isinstance(begun, TokenProblem), begun
    assert isinstance(await desk.finish(alice, begun.state, {}), Pending)
    await asyncio.to_thread(entra.type_device_code, emulator, begun.url, begun.user_code)
    sign_in = await desk.finish(alice, begun.state, {})
    assert not isinstance(sign_in, Pending | TokenProblem), sign_in
    assert sign_in.user == "alice@contoso.example" and sign_in.ends_at == at.now + timedelta(days=90)
    assert await is_delivered(emulator, alice, tokens, "alice@contoso.example")
    token = await tokens.token(alice, "smtp")
    assert isinstance(token, Secret) and token.reveal() not in "".join(vault.values.values())


async def test_a_second_sign_in_consents_to_graph_as_well(
    emulator: Emulator, tokens: TokenSource, desk: SignInDesk
) -> None:
    alice = person(emulator)
    purposes: tuple[Purpose, ...] = ("smtp", "graph")
    for purpose in purposes:
        problem = await tokens.token(alice, "graph")
        assert isinstance(problem, TokenProblem) and problem.code == (
            "not_signed_in" if purpose == "smtp" else "AADSTS65001"
        )
        begun = await desk.begin(alice, purpose)
        assert not isinstance(begun, TokenProblem), begun
        await asyncio.to_thread(entra.type_device_code, emulator, begun.url, begun.user_code)
        assert not isinstance(await desk.finish(alice, begun.state, {}), Pending | TokenProblem)
    for purpose in purposes:
        assert isinstance(await tokens.token(alice, purpose), Secret)


async def test_a_sign_in_outlives_ninety_days_by_being_kept_alive(
    emulator: Emulator, tokens: TokenSource, desk: SignInDesk, at: Time
) -> None:
    alice = person(emulator)
    begun = await desk.begin(alice, "smtp")
    assert not isinstance(begun, TokenProblem)
    await asyncio.to_thread(entra.type_device_code, emulator, begun.url, begun.user_code)
    await desk.finish(alice, begun.state, {})
    for _ in range(5):
        at.now += timedelta(days=25)
        emulator.clock.advance(timedelta(days=25))  # type: ignore[attr-defined]
        assert await tokens.keep_alive((alice,), timedelta(days=3)) == []
    assert isinstance(await tokens.token(alice, "smtp"), Secret)
    at.now += timedelta(days=91)
    emulator.clock.advance(timedelta(days=91))  # type: ignore[attr-defined]
    (problem,) = await tokens.keep_alive((alice,), timedelta(days=3))
    assert problem.needs_operator and problem.code == "AADSTS700082"


async def test_a_person_signs_in_by_a_browser_with_pkce(
    emulator: Emulator, tokens: TokenSource, desk: SignInDesk
) -> None:
    alice = person(emulator, "authorization_code")
    begun = await desk.begin(alice, "smtp", "http://localhost:51234")
    assert not isinstance(begun, TokenProblem), begun
    assert "code_challenge_method=S256" in begun.url and not begun.user_code
    back = (await asyncio.to_thread(entra.sign_in_by_browser, emulator, begun.url)).answer
    stolen = await desk.finish(alice, begun.state, {**back, "state": "another"})
    assert isinstance(stolen, TokenProblem)
    done = await desk.finish(alice, begun.state, back)
    assert not isinstance(done, Pending | TokenProblem), done
    assert await is_delivered(emulator, alice, tokens, "alice@contoso.example")


async def test_somebody_else_signing_in_is_not_taken(emulator: Emulator, desk: SignInDesk, vault: MemoryVault) -> None:
    bob = person(emulator).model_copy(update={"user": "bob@contoso.example"})
    begun = await desk.begin(bob, "smtp")
    assert not isinstance(begun, TokenProblem)
    await asyncio.to_thread(entra.type_device_code, emulator, begun.url, begun.user_code)
    refused = await desk.finish(bob, begun.state, {})
    assert isinstance(refused, TokenProblem) and "alice@contoso.example signed in" in refused.reason
    assert not vault.values


async def test_a_sign_in_that_is_declined_says_so(emulator: Emulator, desk: SignInDesk) -> None:
    alice = person(emulator)
    begun = await desk.begin(alice, "smtp")
    assert not isinstance(begun, TokenProblem)
    await asyncio.to_thread(entra.type_device_code, emulator, begun.url, begun.user_code, "cancel")
    declined = await desk.finish(alice, begun.state, {})
    assert isinstance(declined, TokenProblem) and "no token from" in declined.reason


async def test_a_state_of_another_identity_is_not_taken(emulator: Emulator, desk: SignInDesk) -> None:
    alice = person(emulator)
    begun = await desk.begin(alice, "smtp")
    assert not isinstance(begun, TokenProblem)
    other = alice.model_copy(update={"name": "other"})
    for identity, state in ((other, begun.state), (alice, begun.state[:-8] + "AAAAAAA="), (alice, "")):
        assert isinstance(await desk.finish(identity, state, {}), TokenProblem)


async def test_a_refusal_says_its_code_and_whether_a_person_must_act(
    emulator: Emulator, tokens: TokenSource, tmp_path: Path
) -> None:
    base = emulator.authority.rpartition("/")[0]
    (tmp_path / "wrong").write_text("wrong-planted")
    for identity, code, needs_operator in (
        (entra.secret_identity(emulator, client_secret="file:wrong"), "AADSTS7000215", True),
        (entra.secret_identity(emulator, client_id="33333333-2222-3333-4444-555555555555"), "AADSTS700016", True),
        (entra.secret_identity(emulator, authority=f"{base}/nobody.example"), "AADSTS90002", True),
        (entra.secret_identity(emulator, authority="https://127.0.0.1:1/tenant"), "URLError", False),
        (entra.secret_identity(emulator, ca=None), "URLError", False),
    ):
        problem = await tokens.token(identity, "smtp")
        assert isinstance(problem, TokenProblem)
        assert (problem.code, problem.needs_operator) == (code, needs_operator), problem
        assert "planted" not in repr(problem)


async def test_a_token_serves_on_while_the_authority_is_down(emulator: Emulator, tokens: TokenSource, at: Time) -> None:
    identity = entra.secret_identity(emulator)
    token = await tokens.token(identity, "smtp")
    assert isinstance(token, Secret)
    ends_at = tokens.fetched[("app", "smtp")].ends_at
    assert ends_at is not None
    at.now = ends_at - timedelta(minutes=12)
    emulator.faults.order(Fault(stage="token", reply="503 down", count=2))
    assert await tokens.token(identity, "smtp") == token
    at.now = ends_at
    assert isinstance(await tokens.token(identity, "smtp"), TokenProblem)


async def test_the_authoritys_wish_to_be_left_alone_is_obeyed(
    emulator: Emulator, tokens: TokenSource, at: Time
) -> None:
    identity = entra.secret_identity(emulator)
    emulator.faults.order(Fault(stage="token", reply="429 slow down", retry_after_seconds=120))
    problem = await tokens.token(identity, "smtp")
    assert isinstance(problem, TokenProblem)
    assert problem.retry_after == timedelta(seconds=120) and not problem.needs_operator
    at.now += timedelta(seconds=119)
    assert await tokens.token(identity, "smtp") == problem
    at.now += timedelta(seconds=2)
    assert isinstance(await tokens.token(identity, "smtp"), Secret)


async def test_entra_tells_when_a_secret_ends_and_the_operator_is_warned(
    emulator: Emulator, tokens: TokenSource, secrets: SecretOpener, vault: MemoryVault, at: Time
) -> None:
    application = emulator.tenant.applications[entra.CLIENT]
    ends_at = (at.now + timedelta(days=20)).replace(microsecond=0)
    known = msgspec.structs.replace(
        application, secrets=(msgspec.structs.replace(application.secrets[0], expires=ends_at),)
    )
    applications = {**emulator.tenant.applications, entra.CLIENT: known}
    emulator.directory.replace(msgspec.structs.replace(emulator.tenant, applications=applications))
    flow = Flow(identity=(entra.secret_identity(emulator, graph=emulator.graph),))
    warnings: list[Expiry] = []

    async def record(_: object) -> None:
        return None

    watch = ExpiryWatch(
        flow=lambda: flow,
        tokens=tokens,
        secrets=secrets,
        vault=vault,
        clock=at.clock,
        record=record,
        on_warning=warnings.append,
    )
    await watch.look()
    (warning,) = warnings
    assert (warning.source, warning.ends_at, warning.what) == ("entra", ends_at, "client secret")
