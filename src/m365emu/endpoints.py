"""`endpoints.json`: where a running emulator listens and what a client needs to know.

Purpose: spare clients and tests every guess. Shape: `endpoints_of` makes the values, `write_endpoints` the file;
`read_endpoints` is for commands that talk to a running emulator. Failures: `OSError`; `ValueError` for a file that is
none. Leaves to others: listening (`emulator`).
"""

from pathlib import Path

import msgspec

from m365emu.client_certificates import client_certificates
from m365emu.tenant import Tenant
from m365emu.tenant_file import write_private

FILE = "endpoints.json"


def endpoints_of(directory: Path, tenant: Tenant, addresses: dict[str, str]) -> dict[str, str]:
    """Return all values, and write the first application's secret into a file of its own."""
    certificates = client_certificates(directory)
    endpoints = {
        **addresses,
        "ca": str((directory / "ca.pem").resolve()),
        "tenant": tenant.id,
        "domain": tenant.domains[0],
        "client_certificate": str(certificates.client.resolve()),
        "client_key": str(certificates.client_key.resolve()),
    }
    public = next((client_id for client_id, a in tenant.applications.items() if a.public_client), "")
    if public:
        endpoints["public_client_id"] = public
    for client_id, application in list(tenant.applications.items())[:1]:
        endpoints["client_id"] = client_id
        if application.secrets:
            secret_file = directory / "client-secret"
            write_private(secret_file, application.secrets[0].value.encode())
            endpoints["client_secret_file"] = str(secret_file.resolve())
        if application.certificates:
            endpoints["app_certificate"] = str(certificates.app.resolve())
            endpoints["app_key"] = str(certificates.app_key.resolve())
    return endpoints


def write_endpoints(directory: Path, endpoints: dict[str, str]) -> None:
    """Write the file."""
    (directory / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(endpoints)) + b"\n")


def read_endpoints(directory: Path) -> dict[str, str]:
    """Read the file.

    Raises:
        OSError: it is not there.
        ValueError: it holds something else.
    """
    return msgspec.json.decode((directory / FILE).read_bytes(), type=dict[str, str])
