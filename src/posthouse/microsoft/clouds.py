"""Microsoft's clouds: where mail is submitted and where tokens come from.

Source: "Authenticate an IMAP, POP or SMTP connection using OAuth" and "Microsoft Entra authentication and national
clouds" (learn.microsoft.com); for the sovereign clouds as observed in the field in 2025 and 2026, so that every value
can be overridden in the flow.
Shape: `CLOUDS` and look-ups over it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One cloud.

    Attributes:
        submission_host: For client submission, port 587.
        login_host: Host of the token authority.
        other_login_hosts: Further names of the same authority.
        scope: What an application asks a token for, to submit mail.
    """

    name: str
    submission_host: str
    login_host: str
    scope: str
    other_login_hosts: tuple[str, ...] = ()


CLOUDS = (
    Cloud(
        name="worldwide",
        submission_host="smtp.office365.com",
        login_host="login.microsoftonline.com",
        scope="https://outlook.office365.com/.default",
        other_login_hosts=("login.windows.net", "sts.windows.net"),
    ),
    Cloud(
        name="us-government-high",
        submission_host="smtp.office365.us",
        login_host="login.microsoftonline.us",
        scope="https://outlook.office365.us/.default",
    ),
    Cloud(
        name="us-department-of-defense",
        submission_host="outlook-dod.office365.us",
        login_host="login.microsoftonline.us",
        scope="https://outlook-dod.office365.us/.default",
    ),
    Cloud(
        name="china",
        submission_host="smtp.partner.outlook.cn",
        login_host="login.partner.microsoftonline.cn",
        scope="https://partner.outlook.cn/.default",
        other_login_hosts=("login.chinacloudapi.cn",),
    ),
)
"""The first is the default."""


def cloud_of_submission_host(host: str) -> Cloud:
    """The cloud a submission host belongs to; the first cloud where the host is none of Microsoft's."""
    return next((cloud for cloud in CLOUDS if cloud.submission_host == host.lower()), CLOUDS[0])


def default_authority(tenant: str, submission_host: str) -> str:
    """URL of the token authority for a tenant."""
    return f"https://{cloud_of_submission_host(submission_host).login_host}/{tenant}"


def is_microsoft_login(host: str) -> bool:
    """Whether a host is a token authority of Microsoft's own."""
    name = host.lower()
    return any(name == cloud.login_host or name in cloud.other_login_hosts for cloud in CLOUDS)
