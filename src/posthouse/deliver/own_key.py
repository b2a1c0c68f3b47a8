"""An application adds a certificate to its own registration, proven by the one it has.

Source: Graph's "application: addKey" and "Generate proof-of-possession tokens for rolling keys": a JWT of at most ten
minutes, issued by the object id of the application, signed with a certificate that Entra knows already. For its own
keys an application needs no permission; to read its object id it may need Application.Read.All.
Shape: `add_own_key` asks Graph twice and gives None, or why it was not done. Blocks.
Failures: a sentence, with Graph's own words; never a token or a proof.
Leaves to others: the certificate itself (``deliver.rotation``).
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import RSAKey

from posthouse.deliver.assertions import KeyPair
from posthouse.deliver.secrets import Secret
from posthouse.deliver.token_http import Answered, HttpClient

PROOF_AUDIENCE = "00000002-0000-0000-c000-000000000000"
PROOF_LIFETIME = timedelta(minutes=10)
_MAX_WORDS = 300


def add_own_key(
    base: str, client_id: str, token: Secret, *, known: KeyPair, new: KeyPair, ca: Path | None, now: datetime
) -> str | None:
    """Add the new certificate to the registration.

    Args:
        base: URL of Graph without version.
        known: The certificate in use, which signs the proof.
        ca: Further authorities to trust.
    """
    application = f"{base}/v1.0/applications(appId='{client_id}')"
    bearer = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
    try:
        client = HttpClient(ca)
        found = client.get(f"{application}?$select=id", headers=bearer)
        object_id = _object(found.text).get("id")
        if found.status_code != 200 or not isinstance(object_id, str):
            return f"the application could not read its own registration: {_said(found)}"
        body = {
            "keyCredential": {
                "type": "AsymmetricX509Cert",
                "usage": "Verify",
                "key": base64.b64encode(new.certificate.public_bytes(Encoding.DER)).decode(),
            },
            "passwordCredential": None,
            "proof": sign_proof(known, object_id, now),
        }
        added = client.post_json(f"{application}/addKey", body, headers=bearer)
    except OSError as error:
        return f"Graph could not be asked: {error}"
    return None if added.status_code in (200, 201) else f"Graph did not take the certificate: {_said(added)}"


def sign_proof(known: KeyPair, object_id: str, now: datetime) -> str:
    """A proof of possession; in the form of Microsoft's examples, which sign by RS256 and name the key by SHA-1."""
    mark = known.certificate.fingerprint(hashes.SHA1())
    header = {
        "alg": "RS256",
        "typ": "JWT",
        "kid": known.sha1,
        "x5t": base64.urlsafe_b64encode(mark).rstrip(b"=").decode(),
    }
    begins = int(now.timestamp())
    ends = begins + int(PROOF_LIFETIME.total_seconds())
    claims = {"aud": PROOF_AUDIENCE, "iss": object_id, "nbf": begins, "exp": ends}
    return jwt.encode(header, claims, RSAKey.import_key(known.key), algorithms=["RS256"])


def _said(answered: Answered) -> str:
    error = _object(answered.text).get("error")
    words = f"{error.get('code')}: {error.get('message')}" if isinstance(error, dict) else "without a reason"
    return f"{answered.status_code} {words}"[:_MAX_WORDS]


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
