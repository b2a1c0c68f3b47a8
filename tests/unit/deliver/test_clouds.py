"""What is known of Microsoft's clouds, as connectors use it."""

from __future__ import annotations

import pytest

from posthouse.decide.flow import Submission
from posthouse.microsoft.clouds import CLOUDS, cloud_of_submission_host, default_authority, is_microsoft_login
from posthouse.microsoft.limits import SUBMISSION


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("smtp.office365.com", "https://login.microsoftonline.com/contoso.example"),
        ("SMTP.office365.us", "https://login.microsoftonline.us/contoso.example"),
        ("smtp.partner.outlook.cn", "https://login.partner.microsoftonline.cn/contoso.example"),
        ("127.0.0.1", "https://login.microsoftonline.com/contoso.example"),
    ],
)
def test_the_authority_follows_from_the_submission_host(host: str, authority: str) -> None:
    assert default_authority("contoso.example", host) == authority


def test_every_cloud_is_found_by_its_host_and_knows_its_authority() -> None:
    for cloud in CLOUDS:
        assert cloud_of_submission_host(cloud.submission_host) is cloud
        assert is_microsoft_login(cloud.login_host)
        assert cloud.scope.endswith("/.default")
    assert not is_microsoft_login("login.microsoftonline.com.example")


def test_a_submission_connector_stays_inside_the_limits_by_default() -> None:
    connector = Submission(name="m365", mailbox="a@contoso.example", password="env:PASSWORD")
    assert connector.host == CLOUDS[0].submission_host
    assert connector.max_connections == SUBMISSION.connections
    assert connector.messages_per_minute == SUBMISSION.messages_per_minute
