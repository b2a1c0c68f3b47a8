"""`tenant.toml`: the tenant's description on disk.

Purpose: write a first tenant that is ready to use, with random secrets and comments that explain it, and read
what the user made of it. Failures: `TenantError` that names the file. Leaves to others: the meaning (`tenant`).
"""

import os
import secrets
import tomllib
import uuid
from pathlib import Path

from m365emu.tenant import Tenant, TenantError, tenant_from_document

_TEMPLATE = """\
# The invented organisation that m365emu plays. Edit it and start again; while the emulator runs,
# PATCH /api/tenant changes the same values for the running process only.
# The passwords and the client secret are random and open nothing but this emulator.

id = "{tenant_id}"
name = "Contoso"
domains = ["contoso.example"]

[switches]
smtp_client_authentication_disabled = false   # Set-TransportConfig -SmtpClientAuthenticationDisabled
basic_authentication_disabled = false         # authentication policy: AUTH LOGIN refused, XOAUTH2 works
security_defaults = false                     # Entra security defaults: AUTH LOGIN refused
conditional_access_blocks = false             # a Conditional Access policy refuses AUTH LOGIN
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
token_seconds = 3600

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

# One app registration; the table's name is its client id.
[applications."{client_id}"]
name = "Mail relay"
object_id = "{object_id}"
roles = ["SMTP.SendAsApp"]

[[applications."{client_id}".secrets]]
value = "{client_secret}"
# expires = 2030-01-01T00:00:00Z
"""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def write_first_tenant(path: Path) -> None:
    """Write the first `tenant.toml` with fresh identifiers and secrets."""
    names = {name: secrets.token_urlsafe(12) for name in ("relay", "printer", "website", "alice", "bob")}
    text = _TEMPLATE.format(
        tenant_id=uuid.uuid4(),
        client_id=uuid.uuid4(),
        object_id=uuid.uuid4(),
        client_secret=secrets.token_urlsafe(30),
        **names,
    )
    write_private(path, text.encode())


def read_tenant(path: Path) -> Tenant:
    """Read a tenant from a TOML file.

    Raises:
        TenantError: the file is missing, is not TOML, or says something impossible.
    """
    try:
        return tenant_from_document(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TenantError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TenantError(f"{path}: not valid TOML: {error}") from error
    except TenantError as error:
        raise TenantError(f"{path}: {error}") from error
