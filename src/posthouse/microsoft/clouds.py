"""Microsoft's clouds: where mail is submitted, where tokens come from, where Graph is.

Source: "Authenticate an IMAP, POP or SMTP connection using OAuth", "Microsoft Entra authentication and national clouds"
and "National cloud deployments" of Microsoft Graph (learn.microsoft.com); host names and scopes of the sovereign clouds
as observed in the field in 2025 and 2026 and not confirmed by Microsoft, so that every value can be overridden in the
flow.
Shape: `CLOUDS` by name, and look-ups over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CloudName = Literal["worldwide", "gcc_high", "dod", "china"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One cloud.

    Attributes:
        submission_host: For client submission, port 587.
        login_host: Host of the token authority.
        other_login_hosts: Further names of the same authority.
        outlook: Resource that tokens for SMTP are asked for; ``/.default`` is added for applications.
        graph: Base of Microsoft Graph, without version.
        hve_host: For High Volume Email; empty where it is not offered.
        acs_host: For Azure Communication Services; empty where it is not offered.
        has_message_trace: Graph offers the message trace.
        exchanger_suffixes: What the MX names of its tenants end in.
    """

    name: CloudName
    submission_host: str
    login_host: str
    outlook: str
    graph: str
    hve_host: str = ""
    acs_host: str = ""
    has_message_trace: bool = False
    other_login_hosts: tuple[str, ...] = ()
    exchanger_suffixes: tuple[str, ...] = ()

    @property
    def smtp_scope(self) -> str:
        """What an application asks a token for, to submit mail."""
        return f"{self.outlook}/.default"

    @property
    def delegated_smtp_scope(self) -> str:
        """What a person's token is asked for, to submit mail."""
        # Only the worldwide cloud spells the delegated resource differently.
        resource = "https://outlook.office.com" if self.name == "worldwide" else self.outlook
        return f"{resource}/SMTP.Send"

    @property
    def graph_scope(self) -> str:
        """What an application asks a token for, to use Graph."""
        return f"{self.graph}/.default"


CLOUDS: dict[CloudName, Cloud] = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            name="worldwide",
            submission_host="smtp.office365.com",
            login_host="login.microsoftonline.com",
            outlook="https://outlook.office365.com",
            graph="https://graph.microsoft.com",
            hve_host="smtp-hve.office365.com",
            acs_host="smtp.azurecomm.net",
            has_message_trace=True,
            other_login_hosts=("login.windows.net", "sts.windows.net", "login.microsoft.com"),
            exchanger_suffixes=(".mail.protection.outlook.com", ".mx.microsoft"),
        ),
        Cloud(
            name="gcc_high",
            submission_host="smtp.office365.us",
            login_host="login.microsoftonline.us",
            outlook="https://outlook.office365.us",
            graph="https://graph.microsoft.us",
            exchanger_suffixes=(".mail.protection.office365.us",),
        ),
        Cloud(
            name="dod",
            submission_host="outlook-dod.office365.us",
            login_host="login.microsoftonline.us",
            outlook="https://outlook-dod.office365.us",
            graph="https://dod-graph.microsoft.us",
            exchanger_suffixes=(".mail.protection.office365.us",),
        ),
        Cloud(
            name="china",
            submission_host="smtp.partner.outlook.cn",
            login_host="login.partner.microsoftonline.cn",
            outlook="https://partner.outlook.cn",
            graph="https://microsoftgraph.chinacloudapi.cn",
            other_login_hosts=("login.chinacloudapi.cn",),
            exchanger_suffixes=(".mail.protection.partner.outlook.cn",),
        ),
    )
}
"""All of them. GCC uses the worldwide cloud."""


def default_authority(tenant: str, cloud: CloudName) -> str:
    """URL of the token authority for a tenant."""
    return f"https://{CLOUDS[cloud].login_host}/{tenant}"


def is_microsoft_login(host: str) -> bool:
    """Whether a host is a token authority of Microsoft's own."""
    name = host.lower()
    return any(name == cloud.login_host or name in cloud.other_login_hosts for cloud in CLOUDS.values())
