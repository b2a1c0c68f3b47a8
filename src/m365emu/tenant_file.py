"""`tenant.toml` or `tenant.json`: the tenant's description on disk.

Purpose: write a first tenant that is ready to use, with random secrets and comments that explain it, and read
what the user made of it. Failures: `TenantError` that names the file. Leaves to others: the meaning (`tenant`).
"""

import os
import secrets
import tomllib
import uuid
from pathlib import Path

import msgspec

from m365emu.tenant import Tenant, TenantError, tenant_from_document

_TEMPLATE = """\
# The invented organisation that m365emu plays. Edit it and start again; while the emulator runs,
# PATCH /api/tenant changes the same values for the running process only.
# The passwords and the client secret are random and open nothing but this emulator.

id = "{tenant_id}"
name = "Contoso"
domains = ["contoso.example"]
initial_domain = "contoso.onmicrosoft.example"
licences = 25

[switches]
smtp_client_authentication_disabled = false   # Set-TransportConfig -SmtpClientAuthenticationDisabled
basic_authentication_disabled = false         # authentication policy: AUTH LOGIN refused, XOAUTH2 works
basic_authentication_retired = false          # the announced end of AUTH LOGIN: 5.7.30
security_defaults = false                     # Entra security defaults: AUTH LOGIN refused
conditional_access_blocks = false             # a Conditional Access policy refuses AUTH LOGIN
reject_direct_send = false                    # Set-OrganizationConfig -RejectDirectSend
excess_messages = "delay"                     # or "reject": what happens beyond messages_per_minute
bare_line_feeds = "accept"                    # or "refuse": DATA content with a line feed standing alone

[limits]
messages_per_minute = 30
concurrent_submissions = 3
recipients_per_day = 10000
recipients_per_message = 500
mailbox_send_octets = 36700160
lockout_failures = 10
lockout_seconds = 60
idle_seconds = 300

# full_access and send_as name who holds the right on this mailbox: an application's client id or another
# mailbox (Add-MailboxPermission, Add-RecipientPermission).

[mailboxes."relay@contoso.example"]
name = "Relay"
password = "{relay}"
full_access = ["{client_id}"]

[mailboxes."printer@contoso.example"]
name = "Printer, second floor"
password = "{printer}"
full_access = ["{client_id}"]
send_as = ["{client_id}", "relay@contoso.example"]

[mailboxes."website@contoso.example"]
name = "Web site"
password = "{website}"
full_access = ["{client_id}"]
send_as = ["{client_id}", "relay@contoso.example"]

[mailboxes."alice@contoso.example"]
name = "Alice"
password = "{alice}"
aliases = ["alice.smith@contoso.example"]

[mailboxes."bob@contoso.example"]
name = "Bob"
password = "{bob}"

# A shared mailbox has no password: it is used by who holds FullAccess.
[mailboxes."scans@contoso.example"]
name = "Scans"
kind = "shared"
full_access = ["{client_id}", "alice@contoso.example"]
send_as = ["{client_id}"]

# A High Volume Email account sends to this organisation only. Its allowed apps are object ids.
[mailboxes."bulk@contoso.example"]
name = "Bulk mail"
kind = "hve"
password = "{bulk}"
allowed_apps = ["{object_id}"]

# The app registration of a service; the table's name is its client id.
[applications."{client_id}"]
name = "Mail relay"
object_id = "{object_id}"
roles = ["SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All"]

[[applications."{client_id}".secrets]]
value = "{client_secret}"
# expires = 2030-01-01T00:00:00Z

# The public part of app.pem, for clients that sign an assertion with app-key.pem.
[[applications."{client_id}".certificates]]
pem = '''
{certificate}'''

# A public client: people sign in by device code or in a browser, there is no secret.
[applications."{public_client_id}"]
name = "Mail relay, signed in by a person"
object_id = "{public_object_id}"
roles = []
delegated = ["SMTP.Send", "Mail.Send", "offline_access"]
delegated_consent = "user"
public_client = true
redirect_uris = ["http://localhost"]

# An inbound connector for the MX: known by client.pem, or by an address (see the order pretend-address).
[connectors."Own mail server"]
connector_type = "OnPremises"
tls_sender_certificate_name = "{client_name}"
sender_ip_addresses = ["198.51.100.10"]

# What DNS says of domains outside. One that is not listed exists, takes mail and publishes nothing.
[outside."strict.example"]
spf = ["203.0.113.0/24"]
dmarc = "reject"
"""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def write_first_tenant(path: Path, certificate: str, client_name: str) -> None:
    """Write the first `tenant.toml` with fresh identifiers and secrets.

    Args:
        certificate: the application's certificate in PEM form.
        client_name: the name in the certificate that the connector knows.
    """
    names = ("relay", "printer", "website", "alice", "bob", "bulk")
    identifiers = ("tenant_id", "client_id", "object_id", "public_client_id", "public_object_id")
    text = _TEMPLATE.format(
        client_secret=secrets.token_urlsafe(30),
        certificate=certificate,
        client_name=client_name,
        **{name: secrets.token_urlsafe(12) for name in names},
        **{name: str(uuid.uuid4()) for name in identifiers},
    )
    write_private(path, text.encode())


def tenant_file(directory: Path) -> Path:
    """Return the file that describes the tenant: `tenant.json` where only that is there, else `tenant.toml`."""
    toml, json = directory / "tenant.toml", directory / "tenant.json"
    return json if json.exists() and not toml.exists() else toml


def read_tenant(path: Path) -> Tenant:
    """Read a tenant from a TOML file, or from a JSON file when its name ends so.

    Raises:
        TenantError: the file is missing, is neither, or says something impossible.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return tenant_from_document(msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text))
    except OSError as error:
        raise TenantError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise TenantError(f"{path}: not valid {kind}: {error}") from error
    except TenantError as error:
        raise TenantError(f"{path}: {error}") from error
