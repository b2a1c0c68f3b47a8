"""What an administrator's consent changes.

Purpose: note in the tenant that an administrator consented to an application, for the running process only.
Source: "Grant tenant-wide admin consent to an application". Shape: `Administration.consent` replaces the tenants in
the directory. Failures: none. Leaves to others: who may (`conclusion`).
"""

from msgspec import structs

from m365emu.directory import Directory
from m365emu.tenant import Tenant


class Administration:
    """Changes what only administrators change."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def consent(self, tenant: Tenant, client_id: str) -> None:
        """Note consent to everything the application asks for, in one tenant."""
        root = self._directory.tenant
        if root.id == tenant.id:
            self._directory.replace(_consented(root, client_id))
            return
        others = {
            name: _consented(other, client_id) if other.id == tenant.id else other
            for name, other in root.others.items()
        }
        self._directory.replace(structs.replace(root, others=others))


def _consented(tenant: Tenant, client_id: str) -> Tenant:
    application = structs.replace(tenant.applications[client_id], consent=True, delegated_consent="admin")
    return structs.replace(tenant, applications={**tenant.applications, client_id: application})
