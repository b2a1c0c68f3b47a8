"""Who Posthouse is where it has to log in: identities, as the operator writes them in ``flow.toml``.

Source: "OAuth 2.0 client credentials flow", "device authorization grant", "authorization code flow with PKCE",
"managed identities" and "workload identity federation" (learn.microsoft.com).
Shape: one frozen settings class for each kind, told apart by `kind`; connectors name an identity. Secrets only by
reference.
Failures: pydantic's validation errors.
Leaves to others: tokens (``deliver.tokens``), which connector uses what (``decide.outbound``).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from posthouse.decide.patterns import Mailbox, Name, SecretReference
from posthouse.mail.settings import Settings
from posthouse.microsoft.clouds import CloudName


class _Identity(Settings):
    """What all identities share."""

    name: Name
    cloud: CloudName = Field(default="worldwide", description="GCC uses worldwide.")


class _Entra(_Identity):
    """What all identities of Entra share."""

    tenant: str = Field(description="Tenant id or one of its domains.", min_length=1)
    client_id: str = Field(description="Application (client) id.", min_length=1)
    authority: str | None = Field(default=None, description="Default: that of the cloud, with the tenant.")
    ca: Path | None = Field(default=None, description="PEM file of further authorities, for the authority and Graph.")
    graph: str | None = Field(default=None, description="Base of Graph; default: the cloud's.")


class ClientSecret(_Entra):
    """An application that proves itself by a secret."""

    kind: Literal["client_secret"] = "client_secret"
    client_secret: SecretReference
    expires: date | None = Field(default=None, description="When the secret ends, where it cannot be read from Entra.")


class Certificate(_Entra):
    """An application that proves itself by a certificate: a PEM or PFX file with its private key."""

    kind: Literal["certificate"] = "certificate"
    certificate: Path = Field(description="PEM (certificate and key) or PFX file.")
    key: Path | None = Field(default=None, description="PEM file of the key, where it is a file of its own.")
    passphrase: SecretReference | None = None
    send_chain: bool = Field(default=False, description="Send x5c, for subject name and issuer authentication.")


class ManagedIdentity(_Identity):
    """The managed identity of the Azure machine that Posthouse runs on."""

    kind: Literal["managed_identity"] = "managed_identity"
    tenant: str = Field(default="", description="For budgets and messages to people; Azure knows it.")
    client_id: str | None = Field(default=None, description="Of a user-assigned identity.")
    ca: Path | None = Field(default=None, description="PEM file of further authorities for Graph.")
    graph: str | None = Field(default=None, description="Base of Graph; default: the cloud's.")


class Workload(_Entra):
    """An application that proves itself by a token of another issuer (Kubernetes, GitHub, another cloud)."""

    kind: Literal["workload"] = "workload"
    token_file: Path = Field(description="File with the current token, as AZURE_FEDERATED_TOKEN_FILE names it.")


class Delegated(_Entra):
    """A person who signed in once; the refresh token is kept sealed in the store and kept alive.

    ``device_code``: the person types a code on any other device. ``authorization_code``: a browser on this machine.
    """

    kind: Literal["device_code", "authorization_code"]
    user: Mailbox = Field(description="Who signs in.")
    client_secret: SecretReference | None = Field(default=None, description="Only for confidential web applications.")


class Password(_Identity):
    """A mailbox password or app password for AUTH LOGIN, while Microsoft still takes it."""

    kind: Literal["password"] = "password"
    tenant: str = Field(default="", description="For budgets and messages to people.")
    username: str | None = Field(default=None, description="Default: the mailbox that sends.")
    password: SecretReference


Entra = ClientSecret | Certificate | ManagedIdentity | Workload | Delegated
"""Identities that get tokens."""
Identity = Annotated[Entra | Password, Field(discriminator="kind")]
