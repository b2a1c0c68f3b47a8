"""The steps that a person takes in Entra and Exchange, for every kind of identity."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from posthouse.decide.flow import Flow
from posthouse.decide.identities import (
    Certificate,
    ClientSecret,
    Delegated,
    Identity,
    ManagedIdentity,
    Password,
    Workload,
)
from posthouse.decide.outbound import Acs, Graph, Outbound, Submission
from posthouse.deliver.secrets import Secret
from posthouse.operate.cli.identity_login import parameters
from posthouse.operate.identity_service import read_claims
from posthouse.operate.identity_steps import certificate_steps, set_up_steps

APP = {"name": "app", "tenant": "contoso.example", "client_id": "the-client-id"}
SECRET = ClientSecret(client_secret="secret:app", **APP)  # type: ignore[arg-type]
SMTP = Submission(name="m365", identity="app", mailboxes=("a@contoso.example", "b@contoso.example"))
GRAPH = Graph(name="graph", identity="app", mailboxes="a@contoso.example")


def text(identity: Identity, *connectors: Outbound) -> str:
    steps = set_up_steps(identity, Flow(identity=(identity,), outbound=connectors[:1]))
    return "\n".join(line for step in steps.steps for line in (step.text, *step.commands))


@pytest.mark.parametrize(
    ("identity", "connector", "expected", "unexpected"),
    [
        (
            SECRET,
            SMTP,
            ("SMTP.SendAsApp", "Set-CASMailbox -Identity b@contoso.example", "secret set app"),
            "Mail.Send,",
        ),
        (SECRET, GRAPH, ("Mail.Send", "Application Mail.Send", "PrimarySmtpAddress -eq 'a@"), "Set-CASMailbox"),
        (
            SECRET.model_copy(update={"cloud": "gcc_high"}),
            SMTP,
            ("https://login.microsoftonline.us/contoso.example/v2.0/adminconsent", "outlook.office365.us/.default"),
            "microsoftonline.com",
        ),
        (
            Certificate(certificate=Path("/etc/app.pem"), **APP),  # type: ignore[arg-type]
            SMTP,
            ("openssl x509 -in /etc/app.pem", "--cert"),
            "client secret",
        ),
        (
            Workload(token_file=Path("/run/token"), **APP),
            SMTP,
            ("federated credential", "/run/token"),
            "az ad app cred",
        ),  # type: ignore[arg-type]
        (
            ManagedIdentity(name="app"),
            SMTP,
            ("system-assigned", "New-MgServicePrincipalAppRoleAssignment"),
            "adminconsent",
        ),
        (
            Delegated(kind="device_code", user="a@contoso.example", **APP),  # type: ignore[arg-type]
            SMTP,
            ("SMTP.Send", "-Identity b@contoso.example -Trustee a@contoso.example", "identity login app"),
            "SendAsApp",
        ),
        (
            Password(name="app", username="p@contoso.example", password="env:P"),
            SMTP.model_copy(update={"mailboxes": ("a@contoso.example",)}),
            ("Set-CASMailbox -Identity p@contoso.example", "Security defaults"),
            "az ",
        ),
        (SECRET, Acs(name="acs", identity="app", resource="mail"), ("az role assignment create",), "SMTP.SendAsApp"),
    ],
)
def test_each_kind_has_its_own_steps_with_its_own_values(
    identity: Identity, connector: Outbound, expected: tuple[str, ...], unexpected: str
) -> None:
    said = text(identity, connector)
    for words in expected:
        assert words in said, said
    assert unexpected not in said, said


def test_an_identity_that_nothing_uses_yet_has_steps_too() -> None:
    assert "Add-MailboxPermission -Identity MAILBOX" in text(SECRET)


def test_a_new_certificate_is_added_beside_the_old_one() -> None:
    identity = Certificate(certificate=Path("/etc/app.pem"), **APP)  # type: ignore[arg-type]
    commands = [c for step in certificate_steps(identity, Path("/etc/app.next-public.pem")) for c in step.commands]
    assert 'az ad app credential reset --id the-client-id --cert "@/etc/app.next-public.pem" --append' in commands
    assert any("@($app.KeyCredentials) +" in command for command in commands)
    assert commands[-1] == "posthouse identity rotate app --finish"


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "e30.bnVsbA.x", "e30.W10.x", "e30.\u00e9.x"])
def test_a_token_that_is_not_ours_to_read_has_no_claims(token: str) -> None:
    assert read_claims(Secret(token)) == {}


def test_what_a_browser_ends_on_is_read() -> None:
    assert parameters(" http://localhost:5000/?code=a%20b&state=s\n") == {"code": "a b", "state": "s"}
    assert parameters("nothing") == {}


def test_the_examples_of_the_documentation_are_valid() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "identities.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        Flow.model_validate(tomllib.loads(example))
