"""An application that replaces its own certificates.

Purpose: the handlers of `/applications/{id}/addKey` and `/removeKey`. Source: "application: addKey", "application:
removeKey", "Generate a proof of possession token": a JWT of at most ten minutes, issued by the application's object
id for `00000002-0000-0000-c000-000000000000`, signed with a key that is registered; for one's own keys no permission
is needed. The sentences of the refusals are not confirmed.
Shape: `Rotation` changes the tenant in the directory. Failures: `GraphError`.
Leaves to others: showing credentials (`organization`).
"""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from m365emu.applications import Application, KeyCertificate
from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.graph import errors
from m365emu.graph.access import Access, Caller, object_id
from m365emu.graph.call import Answer, Call, json_body
from m365emu.graph.organization import Organization, application_shown, key_id
from m365emu.tenant import Tenant

_AUDIENCE = "00000002-0000-0000-c000-000000000000"
_LONGEST = timedelta(minutes=10)
_MOST_OCTETS = 65_536
_MOST_KEYS = 20
_WRITE = ("Application.ReadWrite.All", "Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All")


class Rotation:
    """Adds and removes certificates."""

    def __init__(self, *, directory: Directory, access: Access, organization: Organization, clock: Clock) -> None:
        self._directory = directory
        self._access = access
        self._organization = organization
        self._clock = clock

    async def add_key(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST …/addKey."""
        client_id, application, body = await self._proven(call, caller)
        credential = body.get("keyCredential")
        if not isinstance(credential, dict) or credential.get("type") != "AsymmetricX509Cert":
            raise _bad("Key credential type is invalid.")
        pem = _certificate(credential.get("key"))
        if len(application.certificates) >= _MOST_KEYS:
            raise _bad("The application has too many keys.")
        kept = tuple(found for found in application.certificates if found.pem != pem)
        changed = msgspec.structs.replace(application, certificates=(*kept, KeyCertificate(pem=pem)))
        self._put(caller.tenant, client_id, changed)
        keys = application_shown(caller.tenant, client_id, changed)["keyCredentials"]
        assert isinstance(keys, list)
        context = f"{call.root}/$metadata#microsoft.graph.keyCredential"
        return Answer(json={"@odata.context": context, **keys[-1]})

    async def remove_key(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST …/removeKey."""
        client_id, application, body = await self._proven(call, caller)
        wanted = str(body.get("keyId", "")).lower()
        kept = tuple(found for found in application.certificates if key_id(client_id, found.pem.encode()) != wanted)
        if len(kept) == len(application.certificates):
            raise _bad("No credentials found to be removed.")
        self._put(caller.tenant, client_id, msgspec.structs.replace(application, certificates=kept))
        return Answer(status=204)

    async def _proven(self, call: Call, caller: Caller) -> tuple[str, Application, dict[str, Any]]:
        client_id, application = self._organization.wanted(call, caller)
        if client_id != caller.client_id and not self._access.holds(caller, _WRITE):
            raise errors.request_denied()
        body = await json_body(call, _MOST_OCTETS)
        if not self._is_proof(caller.tenant, client_id, application, body.get("proof")):
            raise errors.GraphError(403, "Authentication_MissingOrMalformed", "The proof of possession is not valid.")
        return client_id, application, body

    def _is_proof(self, tenant: Tenant, client_id: str, application: Application, proof: object) -> bool:
        now = self._clock.now()
        return isinstance(proof, str) and any(
            _signed(proof, certificate.pem, object_id(tenant, client_id), now)
            for certificate in application.certificates
        )

    def _put(self, tenant: Tenant, client_id: str, application: Application) -> None:
        changed = msgspec.structs.replace(tenant, applications={**tenant.applications, client_id: application})
        first = self._directory.tenant
        if tenant.id == first.id:
            self._directory.replace(changed)
            return
        others = {name: changed if other.id == tenant.id else other for name, other in first.others.items()}
        self._directory.replace(msgspec.structs.replace(first, others=others))


def _signed(proof: str, pem: str, issuer: str, now: datetime) -> bool:
    """Say whether the proof was signed with this certificate's key, for us, by this application, and counts now."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(proof, RSAKey.import_key(public), algorithms=["RS256", "PS256"]).claims
        begins, ends = int(claims["nbf"]), int(claims["exp"])
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        return False
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    in_time = begins - 300 <= now.timestamp() < ends and ends - begins <= _LONGEST.total_seconds()
    return in_time and claims.get("aud") == _AUDIENCE and str(claims.get("iss", "")).lower() == issuer


def _certificate(key: object) -> str:
    try:
        octets = base64.b64decode(str(key).encode("ascii"), validate=True)
        certificate = x509.load_der_x509_certificate(octets)
    except (binascii.Error, ValueError) as error:
        raise _bad("Key credential value is invalid.") from error
    return certificate.public_bytes(Encoding.PEM).decode()


def _bad(sentence: str) -> errors.GraphError:
    return errors.GraphError(400, "Request_BadRequest", sentence)
