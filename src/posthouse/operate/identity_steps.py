"""What a person does in Entra and Exchange so that an identity may send, with the identity's own values filled in.

Source: "Authenticate an IMAP, POP or SMTP connection using OAuth", "Role Based Access Control for Applications in
Exchange Online", "Configure an app to trust an external identity provider"; New-ServicePrincipal,
Add-MailboxPermission, Add-RecipientPermission, Set-CASMailbox; "az ad app credential reset" (learn.microsoft.com).
Shape: `set_up_steps` and `certificate_steps` give `Step` values; nothing is asked and nothing changed.
Failures: none.
Leaves to others: doing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from posthouse.decide.flow import Flow
from posthouse.decide.identities import (
    Certificate,
    ClientSecret,
    Delegated,
    Entra,
    ManagedIdentity,
    Password,
    Workload,
)
from posthouse.decide.outbound import Acs, Direct, FromMailboxes, Graph, Hve, Outbound, Relay, Submission
from posthouse.microsoft.clouds import CLOUDS
from posthouse.operate.identity_shapes import Step, Steps

_OBJECT = "OBJECT-ID"
_LATE = "Exchange may take an hour or more to heed what was changed here: a refusal until then means wait, not wrong."


def set_up_steps(identity: Entra | Password, flow: Flow) -> Steps:
    """Everything from the registration to the switch of the mailbox."""
    connectors = [c for c in flow.outbound if getattr(c, "identity", None) == identity.name]
    title = f"Steps for the identity {identity.name} ({identity.kind})"
    match identity:
        case Password():
            return Steps(title, tuple(_for_password(identity, connectors)))
        case Delegated():
            return Steps(title, tuple(_for_person(identity, connectors)))
        case ClientSecret() | Certificate() | Workload() | ManagedIdentity():
            return Steps(title, tuple(_for_application(identity, connectors)))
        case never:
            assert_never(never)


def certificate_steps(identity: Certificate, public: Path) -> tuple[Step, ...]:
    """Make a certificate known to Entra; the old one stays known until it is removed there."""
    return (
        Step(
            text="Add the new certificate to the application; any one of these ways. Leave the old one in place.",
            commands=(
                f'az ad app credential reset --id {identity.client_id} --cert "@{public}" --append',
                f"$app = Get-MgApplication -Filter \"appId eq '{identity.client_id}'\"",
                f"$certificate = [Security.Cryptography.X509Certificates.X509Certificate2]::new('{public.name}')",
                "$keys = @($app.KeyCredentials) + @{ Type = 'AsymmetricX509Cert'; Usage = 'Verify'; "
                "Key = $certificate.RawData; DisplayName = $certificate.Subject }",
                "Update-MgApplication -ApplicationId $app.Id -KeyCredentials $keys",
            ),
        ),
        Step(
            text="Or in the portal: Entra admin centre > App registrations > the application > Certificates & secrets "
            f"> Certificates > Upload certificate: {public}"
        ),
        Step(
            text="Then take it into use. The node also tries by itself twice a day.",
            commands=(f"posthouse identity rotate {identity.name} --finish",),
        ),
    )


def _for_application(
    identity: ClientSecret | Certificate | Workload | ManagedIdentity, connectors: list[Outbound]
) -> Iterator[Step]:
    client = identity.client_id or "CLIENT-ID"
    yield from _registration(identity, client)
    mailboxes = _mailboxes(connectors)
    if not connectors or any(isinstance(c, Submission | Hve) for c in connectors):
        yield from _smtp_permission(identity, client, mailboxes)
    if any(isinstance(c, Graph) for c in connectors):
        yield from _graph_permission(identity, client, mailboxes)
    if any(isinstance(c, Acs) for c in connectors):
        yield Step(
            text="Azure Communication Services: give the application the role Communication and Email Service Owner on "
            "the resource.",
            commands=(
                f"az role assignment create --assignee {client} --role 'Communication and Email Service Owner' "
                "--scope RESOURCE-ID",
            ),
        )
    if any(isinstance(c, Relay | Direct) or c.on_unknown == "verify" for c in connectors):
        yield Step(
            text='For on_unknown = "verify": Microsoft Graph > Application permissions > Mail.Read (Sent Items) or '
            "ExchangeMessageTrace.Read.All (the message trace), with admin consent."
        )
    yield Step(text=_LATE, commands=(f"posthouse identity test {identity.name}",))


def _registration(identity: ClientSecret | Certificate | Workload | ManagedIdentity, client: str) -> Iterator[Step]:
    if isinstance(identity, ManagedIdentity):
        kind = "user-assigned" if identity.client_id else "system-assigned"
        yield Step(
            text=f"Give the machine a {kind} managed identity: Azure portal > the virtual machine > Security > "
            "Identity. Its application appears under Enterprise applications; note application id and object id."
        )
        return
    yield Step(
        text=f"Register an application in the tenant {identity.tenant}: Entra admin centre > App registrations > New "
        "registration, single tenant, no redirect. Its application (client) id goes into client_id.",
        commands=("az ad app create --display-name Posthouse --sign-in-audience AzureADMyOrg",)
        if not identity.client_id
        else (f"az ad app show --id {client}",),
    )
    match identity:
        case ClientSecret():
            yield Step(
                text="Make a client secret (Certificates & secrets) and keep its value, not its id. Note its end as "
                "expires in the flow.",
                commands=(
                    f"az ad app credential reset --id {client} --append --years 1",
                    f"posthouse secret set {identity.client_secret.partition(':')[2]}"
                    if identity.client_secret.startswith("secret:")
                    else f"posthouse identity test {identity.name}",
                ),
            )
        case Certificate(certificate=path):
            yield Step(
                text="Make the certificate known to the application (the public part alone).",
                commands=(
                    f"openssl x509 -in {path} -out public.pem",
                    f'az ad app credential reset --id {client} --cert "@public.pem" --append',
                ),
            )
        case Workload():
            yield Step(
                text="Add a federated credential: App registrations > the application > Certificates & secrets > "
                "Federated credentials; issuer, subject and audience as the token in "
                f"{identity.token_file} names them."
            )


def _smtp_permission(identity: Entra, client: str, mailboxes: tuple[str, ...]) -> Iterator[Step]:
    cloud = CLOUDS[identity.cloud]
    if isinstance(identity, ManagedIdentity):
        yield Step(
            text="Give the managed identity the application role SMTP.SendAsApp of Office 365 Exchange Online.",
            commands=(
                f"$identity = Get-MgServicePrincipal -Filter \"appId eq '{client}'\"",
                "$exchange = Get-MgServicePrincipal -Filter \"appId eq '00000002-0000-0ff1-ce00-000000000000'\"",
                "$role = $exchange.AppRoles | Where-Object Value -eq 'SMTP.SendAsApp'",
                "New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $identity.Id "
                "-PrincipalId $identity.Id -ResourceId $exchange.Id -AppRoleId $role.Id",
            ),
        )
    else:
        consent = (
            f"https://{cloud.login_host}/{identity.tenant}/v2.0/adminconsent?client_id={client}"
            f"&redirect_uri=http://localhost&scope={cloud.smtp_scope}"
        )
        yield Step(
            text="Add the permission: API permissions > Add a permission > APIs my organization uses > Office 365 "
            "Exchange Online > Application permissions > SMTP.SendAsApp. Then an administrator consents, there or at:",
            commands=(consent,),
        )
    yield from _exchange_principal(client)
    yield Step(
        text="Let the application into each mailbox that sends.",
        commands=tuple(
            f"Add-MailboxPermission -Identity {m} -User {_OBJECT} -AccessRights FullAccess" for m in mailboxes
        ),
    )
    yield Step(
        text="Only where it sends with another From address than the mailbox's own: allow that address.",
        commands=(f"Add-RecipientPermission -Identity OTHER-ADDRESS -Trustee {_OBJECT} -AccessRights SendAs",),
    )
    yield from _switch(mailboxes)
    yield Step(
        text="Instead of permission and FullAccess, least privilege: RBAC for Applications. Then add no SMTP.SendAsApp "
        "permission in Entra, and expect no roles in the token.",
        commands=_rbac("Application SMTP.SendAsApp", client, mailboxes),
    )


def _graph_permission(identity: Entra, client: str, mailboxes: tuple[str, ...]) -> Iterator[Step]:
    yield Step(
        text="Add the permission: API permissions > Microsoft Graph > Application permissions > Mail.Send, with admin "
        "consent. Large messages also need Mail.ReadWrite. It reaches every mailbox, unless RBAC for Applications is "
        "used instead:",
        commands=_rbac("Application Mail.Send", client, mailboxes),
    )


def _rbac(role: str, client: str, mailboxes: tuple[str, ...]) -> tuple[str, ...]:
    filters = " -or ".join(f"PrimarySmtpAddress -eq '{m}'" for m in mailboxes)
    return (
        f"New-ServicePrincipal -AppId {client} -ObjectId {_OBJECT} -DisplayName Posthouse",
        f'New-ManagementScope -Name "Posthouse mailboxes" -RecipientRestrictionFilter "{filters}"',
        f'New-ManagementRoleAssignment -App {client} -Role "{role}" -CustomResourceScope "Posthouse mailboxes"',
        f"Test-ServicePrincipalAuthorization -Identity {_OBJECT} -Resource {mailboxes[0]}",
    )


def _exchange_principal(client: str) -> Iterator[Step]:
    yield Step(
        text=f"Make the application known to Exchange. {_OBJECT} is the object id under Enterprise applications, not "
        "the one under App registrations: the wrong one leads to 535 5.7.3 with no further word.",
        commands=(
            f"az ad sp show --id {client} --query id -o tsv",
            "Connect-ExchangeOnline",
            f"New-ServicePrincipal -AppId {client} -ObjectId {_OBJECT} -DisplayName Posthouse",
        ),
    )


def _switch(mailboxes: tuple[str, ...]) -> Iterator[Step]:
    yield Step(
        text="Switch SMTP AUTH on for each mailbox that sends; it counts over the switch of the tenant.",
        commands=tuple(f"Set-CASMailbox -Identity {m} -SmtpClientAuthenticationDisabled $false" for m in mailboxes),
    )


def _for_person(identity: Delegated, connectors: list[Outbound]) -> Iterator[Step]:
    redirect = "http://localhost" if identity.kind == "authorization_code" else "none"
    yield Step(
        text=f"Register an application in the tenant {identity.tenant}: App registrations > New registration; "
        f"redirect: {redirect} (Mobile and desktop applications). Authentication > Allow public client flows: Yes.",
        commands=(f"az ad app update --id {identity.client_id} --is-fallback-public-client true",),
    )
    permissions = []
    if not connectors or any(isinstance(c, Submission | Hve) for c in connectors):
        permissions.append("Office 365 Exchange Online > Delegated permissions > SMTP.Send")
    if any(isinstance(c, Graph) for c in connectors):
        permissions.append("Microsoft Graph > Delegated permissions > Mail.Send")
    yield Step(text=f"API permissions: {'; '.join(permissions)}; and offline_access, which keeps the sign-in alive.")
    mailboxes = _mailboxes(connectors)
    others = tuple(m for m in mailboxes if m != identity.user and "@" in m)
    if others:
        yield Step(
            text=f"{identity.user} needs rights to send from these mailboxes.",
            commands=tuple(
                f"Add-RecipientPermission -Identity {m} -Trustee {identity.user} -AccessRights SendAs" for m in others
            ),
        )
    if any(isinstance(c, Submission) for c in connectors):
        yield from _switch(mailboxes)
    yield Step(text=f"{identity.user} signs in.", commands=(f"posthouse identity login {identity.name}",))


def _for_password(identity: Password, connectors: list[Outbound]) -> Iterator[Step]:
    yield from _switch(_mailboxes(connectors) if identity.username is None else (identity.username,))
    yield Step(
        text="Security defaults and Conditional Access must let basic log-ins pass, and Microsoft will end them: an "
        "identity with a certificate or a client secret lasts longer."
    )


def _mailboxes(connectors: list[Outbound]) -> tuple[str, ...]:
    found = [m for c in connectors if isinstance(c, FromMailboxes) for m in c.mailboxes]
    return tuple(dict.fromkeys(found)) or ("MAILBOX",)
