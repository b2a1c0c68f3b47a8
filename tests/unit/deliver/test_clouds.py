"""What is known of Microsoft's clouds and limits, as connectors use it."""

from __future__ import annotations

import pytest

from posthouse.decide.outbound import Submission
from posthouse.decide.ways import limits_of
from posthouse.microsoft.clouds import CLOUDS, CloudName, default_authority, is_microsoft_login
from posthouse.microsoft.limits import all_limits, external_recipients_per_day


@pytest.mark.parametrize(
    ("cloud", "authority"),
    [
        ("worldwide", "https://login.microsoftonline.com/contoso.example"),
        ("gcc_high", "https://login.microsoftonline.us/contoso.example"),
        ("china", "https://login.partner.microsoftonline.cn/contoso.example"),
    ],
)
def test_the_authority_follows_from_the_cloud(cloud: CloudName, authority: str) -> None:
    assert default_authority("contoso.example", cloud) == authority


def test_every_cloud_knows_its_authority_and_scopes() -> None:
    for name, cloud in CLOUDS.items():
        assert cloud.name == name
        assert is_microsoft_login(cloud.login_host)
        assert cloud.smtp_scope.endswith("/.default") and cloud.graph_scope.endswith("/.default")
        assert cloud.delegated_smtp_scope.endswith("/SMTP.Send")
    assert not is_microsoft_login("login.microsoftonline.com.example")


def test_a_submission_connector_has_the_published_limits_by_default() -> None:
    limits = limits_of(Submission(name="m365", identity="app", mailboxes=("a@contoso.example",)))
    assert (limits.connections, limits.messages_per_minute, limits.recipients_per_day) == (3, 30, 10_000)
    assert limits.recipients_per_message == 500


def test_what_the_operator_says_stands_in_the_place_of_what_is_published() -> None:
    connector = Submission(
        name="m365",
        identity="app",
        mailboxes=("a@contoso.example",),
        messages_per_minute=10,
        recipients_per_day=50,
        max_message=1000,
    )
    limits = limits_of(connector)
    assert (limits.messages_per_minute, limits.recipients_per_day, limits.message_octets) == (10, 50, 1000)


@pytest.mark.parametrize(
    ("licences", "recipients"), [(1, 10_000), (10, 12_006), (25, 14_259), (100, 22_059), (1_000, 72_446)]
)
def test_the_tenants_limit_follows_the_published_formula(licences: int, recipients: int) -> None:
    assert external_recipients_per_day(licences) == recipients
    assert external_recipients_per_day(licences, is_trial=True) == 5_000


def test_every_limit_names_its_source_and_date() -> None:
    limits = list(all_limits())
    assert len(limits) > 15
    for limit in limits:
        assert limit.value > 0 and limit.source and limit.date.startswith("20")
        assert limit.certainty in {"certain", "secondary", "assumed"}
