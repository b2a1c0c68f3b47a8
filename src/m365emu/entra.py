"""The refusals of the token endpoint.

Purpose: Entra's errors in their JSON form. Source: "Microsoft Entra authentication and authorization error codes";
RFC 6749 5.2. Shape: `EntraError` is a value, `body` makes the JSON object of it. Failures: none.
Leaves to others: when each applies (`authority`).
"""

import uuid
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraError:
    """A refusal: the AADSTS number, the OAuth error, the sentence and the HTTP status."""

    number: int
    error: str
    sentence: str
    status: int = 400

    def body(self, now: datetime, correlation_id: str) -> dict[str, object]:
        """Return the JSON object."""
        trace_id, stamp = str(uuid.uuid4()), f"{now:%Y-%m-%d %H:%M:%S}Z"
        text = f"AADSTS{self.number}: {self.sentence} Trace ID: {trace_id} "
        return {
            "error": self.error,
            "error_description": f"{text}Correlation ID: {correlation_id} Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


def tenant_not_found(tenant: str) -> EntraError:
    return EntraError(
        number=90002,
        error="invalid_request",
        sentence=f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing "
        "into the correct cloud. Check with your subscription administrator, this may happen if there are no "
        "active subscriptions for the tenant.",
    )


def parameter_missing(name: str) -> EntraError:
    return EntraError(
        number=900144,
        error="invalid_request",
        sentence=f"The request body must contain the following parameter: '{name}'.",
    )


def grant_not_supported(grant: str) -> EntraError:
    return EntraError(
        number=70003,
        error="unsupported_grant_type",
        sentence=f"The app requested an unsupported grant type '{grant}'.",
    )


def application_not_found(client_id: str, tenant_name: str) -> EntraError:
    return EntraError(
        number=700016,
        error="unauthorized_client",
        sentence=f"Application with identifier '{client_id}' was not found in the directory '{tenant_name}'. "
        "This can happen if the application has not been installed by the administrator of the tenant or "
        "consented to by any user in the tenant. You may have sent your authentication request to the wrong "
        "tenant.",
    )


def credential_missing() -> EntraError:
    return EntraError(
        number=7000218,
        error="invalid_client",
        sentence="The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        status=401,
    )


def secret_invalid(client_id: str) -> EntraError:
    return EntraError(
        number=7000215,
        error="invalid_client",
        sentence="Invalid client secret provided. Ensure the secret being sent in the request is the client "
        f"secret value, not the client secret ID, for a secret added to app '{client_id}'.",
        status=401,
    )


def secret_expired(client_id: str) -> EntraError:
    return EntraError(
        number=7000222,
        error="invalid_client",
        sentence=f"The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to "
        "create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "
        "credentials for added security: https://aka.ms/certCreds.",
        status=401,
    )


def scope_invalid(scope: str) -> EntraError:
    return EntraError(
        number=70011,
        error="invalid_scope",
        sentence="The provided request must include a 'scope' input parameter. The provided value for the input "
        f"parameter 'scope' is not valid. The scope {scope} is not valid.",
    )
