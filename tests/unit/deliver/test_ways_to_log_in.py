"""How each way logs in."""

from __future__ import annotations

from tests.unit.deliver.jobs import SECRETS

from posthouse.decide.identities import ClientSecret, Password
from posthouse.decide.outbound import Acs, Direct, Hve, Outbound, Relay, Submission
from posthouse.decide.ways import Way, limits_of, unfit
from posthouse.deliver.login import Login, PasswordLogin, TokenLogin, login_source
from posthouse.deliver.secrets import Secret, SecretOpener
from posthouse.deliver.tokens import TokenSource
from posthouse.deliver.worker import submission_host

APP = ClientSecret(name="app", tenant="contoso.example", client_id="c1", client_secret="secret:app")
MAILBOX = "relay@contoso.example"


async def _look_up(name: str) -> str | None:
    return SECRETS.get(name)


async def log_in(connector: Outbound, identity: ClientSecret | Password | None, mailbox: str = MAILBOX) -> object:
    secrets = SecretOpener(_look_up)
    tokens = TokenSource(secrets, lambda *_: {"access_token": "t", "expires_in": 3600})
    return await login_source(Way(connector=connector, identity=identity), secrets, tokens)(mailbox)


async def test_submission_shows_a_token_for_the_mailbox_that_sends() -> None:
    login = await log_in(Submission(name="m", identity="app", mailboxes=(MAILBOX, "b@contoso.example")), APP)
    assert isinstance(login, TokenLogin) and login.username == MAILBOX


async def test_a_password_identity_logs_in_as_the_mailbox_or_as_named() -> None:
    connector = Submission(name="m", identity="p", mailboxes=(MAILBOX,))
    login: Login | object = await log_in(connector, Password(name="p", password="secret:relay"))
    assert login == PasswordLogin(username=MAILBOX, password=Secret(SECRETS["relay"]), mechanism="LOGIN")
    named = await log_in(connector, Password(name="p", username="smtp@contoso.example", password="secret:relay"))
    assert isinstance(named, PasswordLogin) and named.username == "smtp@contoso.example"


async def test_communication_services_take_the_secret_under_a_name_of_three_parts() -> None:
    login = await log_in(Acs(name="acs", identity="app", resource="contoso-mail"), APP)
    assert isinstance(login, PasswordLogin)
    assert login.username == "contoso-mail|c1|contoso.example"
    assert login.password == Secret(SECRETS["app"])


async def test_the_tenants_mx_asks_for_no_log_in_even_with_an_identity() -> None:
    assert await log_in(Relay(name="r", host="mx.example", identity="app"), APP, "") is None
    assert await log_in(Direct(name="d", domain="contoso.example"), None, "") is None


def test_each_cloud_and_kind_has_its_host() -> None:
    gcc_high = APP.model_copy(update={"cloud": "gcc_high"})
    submission = Submission(name="m", identity="app", mailboxes=(MAILBOX,))
    hve = Hve(name="h", identity="app", mailboxes=(MAILBOX,))
    assert submission_host(Way(connector=submission, identity=APP)) == "smtp.office365.com"
    assert submission_host(Way(connector=submission, identity=gcc_high)) == "smtp.office365.us"
    assert submission_host(Way(connector=hve, identity=APP)) == "smtp-hve.office365.com"
    assert submission_host(Way(connector=Acs(name="a", identity="app", resource="x"), identity=APP)) == (
        "smtp.azurecomm.net"
    )


def test_what_does_not_go_together_is_said() -> None:
    password = Password(name="p", password="env:P")
    two = Submission(name="m", identity="p", mailboxes=(MAILBOX, "b@contoso.example"))
    assert "opens one mailbox" in unfit(two, password)
    assert "client_secret" in unfit(Acs(name="a", identity="p", resource="x"), password)
    assert unfit(two, APP) == ""


def test_a_way_says_what_it_cannot_carry_whatever_the_hour() -> None:
    connector = Hve(name="h", identity="app", mailboxes=(MAILBOX,), max_message=1000)
    way = Way(connector=connector, identity=APP, limits=limits_of(connector))
    large = way.refuses(None, 1001, is_internal=True)
    assert large is not None and large.status == "5.3.4"
    outside = way.refuses(None, 10, is_internal=False)
    assert outside is not None and "accepted domains" in outside.reason
    assert way.refuses(None, 10, is_internal=True) is None
