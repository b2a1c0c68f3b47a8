"""The refusals of Entra, with their numbers and sentences.

Purpose: Entra's errors in their JSON form. Source: "Microsoft Entra authentication and authorization error codes";
RFC 6749 5.2 and 4.1.2.1, RFC 8628 3.5.
Shape: `Refusal` is a template with its evidence flag, calling it fills it in and gives an `EntraError`, whose `body`
makes the JSON object. The numbers are documented; where the flag is ○, sentence, OAuth error or status were never
seen confirmed, where it is ◐ they were seen in the field. Failures: none.
Leaves to others: when each applies.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraError:
    """A refusal: the AADSTS number, the OAuth error, the sentence and the HTTP status."""

    number: int
    error: str
    sentence: str
    status: int = 400
    suberror: str = ""
    claims: str = ""

    def description(self, now: datetime, correlation_id: str, trace_id: str) -> str:
        """Return the sentence with everything that Entra appends to it."""
        return (
            f"AADSTS{self.number}: {self.sentence} Trace ID: {trace_id} "
            f"Correlation ID: {correlation_id} Timestamp: {now:%Y-%m-%d %H:%M:%S}Z"
        )

    def body(self, now: datetime, correlation_id: str) -> dict[str, object]:
        """Return the JSON object."""
        trace_id = str(uuid.uuid4())
        body: dict[str, object] = {
            "error": self.error,
            "error_description": self.description(now, correlation_id, trace_id),
            "error_codes": [self.number],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%S}Z",
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }
        if self.suberror:
            body["suberror"] = self.suberror
        if self.claims:
            body["claims"] = self.claims
        return body


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal before its blanks are filled in; `flag` is the evidence for its words."""

    number: int
    error: str
    flag: Literal["✔", "◐", "○"]
    sentence: str
    status: int = 400
    suberror: str = ""
    claims: str = ""

    def __call__(self, **values: str) -> EntraError:
        return EntraError(
            number=self.number,
            error=self.error,
            sentence=self.sentence.format_map(values),
            status=self.status,
            suberror=self.suberror,
            claims=self.claims,
        )


_REQUEST, _CLIENT, _SCOPE, _GRANT = "invalid_request", "invalid_client", "invalid_scope", "invalid_grant"

TENANT_NOT_FOUND = Refusal(
    90002,
    _REQUEST,
    "◐",
    "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct "
    "cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the "
    "tenant.",
)
NO_TENANT = Refusal(
    50059,
    _REQUEST,
    "◐",
    "No tenant-identifying information found in either the request or implied by any provided credentials.",
)
UNKNOWN_INSTANCE = Refusal(50049, "invalid_instance", "○", "Unknown or invalid instance.")
PARAMETER_MISSING = Refusal(
    900144, _REQUEST, "◐", "The request body must contain the following parameter: '{parameter}'."
)
MALFORMED_REQUEST = Refusal(9002313, _REQUEST, "○", "Invalid request. Request is malformed or invalid.")
GRANT_TYPE_UNSUPPORTED = Refusal(
    70003, "unsupported_grant_type", "◐", "The app requested an unsupported grant type '{grant}'."
)
RESPONSE_TYPE_UNSUPPORTED = Refusal(
    700054, "unsupported_response_type", "○", "response_type '{given}' is not enabled for the application."
)
APPLICATION_NOT_FOUND = Refusal(
    700016,
    "unauthorized_client",
    "◐",
    "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
    "application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "
    "You may have sent your authentication request to the wrong tenant.",
)
APPLICATION_DISABLED = Refusal(
    7000112, "unauthorized_client", "○", "Application '{client_id}'({name}) is disabled.", status=401
)
REDIRECT_MISMATCH = Refusal(
    50011,
    _REQUEST,
    "◐",
    "The redirect URI '{given}' specified in the request does not match the redirect URIs configured for the "
    "application '{client_id}'. Make sure the redirect URI sent in the request matches one added to your application "
    "in the Azure portal.",
)
REDIRECT_MISSING = Refusal(500113, _REQUEST, "◐", "No reply address is registered for the application.")
CHALLENGE_INVALID = Refusal(501491, _REQUEST, "○", "Invalid size of Code_Challenge parameter.")
VERIFIER_WRONG = Refusal(
    501481,
    _GRANT,
    "○",
    "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
)

CREDENTIAL_MISSING = Refusal(
    7000218,
    _CLIENT,
    "◐",
    "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    status=401,
)
CREDENTIAL_UNWANTED = Refusal(
    700025,
    _CLIENT,
    "◐",
    "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    status=401,
)
SECRET_INVALID = Refusal(
    7000215,
    _CLIENT,
    "◐",
    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the "
    "client secret ID, for a secret added to app '{client_id}'.",
    status=401,
)
SECRET_EXPIRED = Refusal(
    7000222,
    _CLIENT,
    "◐",
    "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys for "
    "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
    "https://aka.ms/certCreds.",
    status=401,
)
ASSERTION_MALFORMED = Refusal(50027, _REQUEST, "○", "JWT token is invalid or malformed.")
ASSERTION_ALGORITHM = Refusal(5002738, _CLIENT, "○", "Invalid JWT token. 'alg' claim value is '{given}'.", status=401)
ASSERTION_CLIENT = Refusal(
    700021,
    _CLIENT,
    "○",
    "Client assertion application identifier doesn't match 'client_id' parameter.",
    status=401,
)
ASSERTION_AUDIENCE = Refusal(
    700023, _CLIENT, "○", "Client assertion audience claim does not match Realm issuer.", status=401
)
ASSERTION_TIME = Refusal(
    700024,
    _CLIENT,
    "◐",
    "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start}, expiry "
    "time of assertion {end}.",
    status=401,
)
ASSERTION_SIGNATURE = Refusal(
    700027,
    _CLIENT,
    "◐",
    "Client assertion failed signature validation. [Reason - {reason}, Thumbprint of key used by client: "
    "'{thumbprint}']",
    status=401,
)
ASSERTION_REPLAYED = Refusal(
    50013, _CLIENT, "○", "Assertion failed signature validation. [Reason - The assertion was used before.]", status=401
)
FEDERATION_KEY = Refusal(
    7000272,
    _CLIENT,
    "◐",
    "The certificate with identifier '{identifier}' used to sign the federated credential could not be found in the "
    "metadata of identity provider '{issuer}'.",
    status=401,
)
FEDERATION_UNKNOWN = Refusal(
    70021,
    _CLIENT,
    "◐",
    "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion "
    "Subject: '{subject}'. Assertion Audience: '{audience}'.",
    status=401,
)
FEDERATION_SUBJECT = Refusal(
    700213,
    _CLIENT,
    "◐",
    "No matching federated identity record found for presented assertion subject '{subject}'. Check your federated "
    "identity credential Subject, Audience and Issuer against the presented assertion.",
    status=401,
)

SCOPE_INVALID = Refusal(
    70011,
    _SCOPE,
    "◐",
    "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' "
    "is not valid. The scope {scope} is not valid.",
)
SCOPE_NOT_DEFAULT = Refusal(
    1002012,
    _SCOPE,
    "○",
    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default "
    "suffixed to the resource identifier (application ID URI).",
)
SCOPE_OF_TWO_RESOURCES = Refusal(
    28000,
    _SCOPE,
    "◐",
    "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope "
    "{scope} is not valid.",
)
SCOPE_UNKNOWN = Refusal(
    650053,
    _SCOPE,
    "◐",
    "The application '{name}' asked for scope '{permission}' that doesn't exist on the resource '{resource}'. Contact "
    "the app vendor.",
)
RESOURCE_UNKNOWN = Refusal(
    500011,
    "invalid_resource",
    "◐",
    "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
    "application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "
    "You might have sent your authentication request to the wrong tenant.",
)
REQUEST_LOOP = Refusal(
    50196,
    _GRANT,
    "○",
    "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
)
