"""The refusals that concern people and what they granted.

Purpose: the second half of the catalogue: sign-in, consent, codes and refresh tokens.
Source: as `errors`. Shape: `Refusal` templates. Failures: none. Leaves to others: when each applies.
"""

from m365emu.entra.errors import Refusal

_GRANT = "invalid_grant"
_CAPOLIDS = '{"access_token":{"capolids":{"essential":true,"values":["00000000-0000-0000-0000-000000000000"]}}}'

USER_UNKNOWN = Refusal(
    50034,
    _GRANT,
    "○",
    "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account "
    "must be added to the directory.",
)
USER_LOCKED = Refusal(
    50053,
    _GRANT,
    "○",
    "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
)
PASSWORD_EXPIRED = Refusal(50055, _GRANT, "○", "The password is expired.", suberror="user_password_expired")
USER_DISABLED = Refusal(50057, _GRANT, "○", "The user account is disabled.")
PASSWORD_WRONG = Refusal(50126, _GRANT, "○", "Error validating credentials due to invalid username or password.")
MFA_REQUIRED = Refusal(
    50076,
    _GRANT,
    "○",
    "Due to a configuration change made by your administrator, or because you moved to a new location, you must use "
    "multi-factor authentication to access '{resource}'.",
    suberror="basic_action",
    claims=_CAPOLIDS,
)
MFA_ENROLMENT_REQUIRED = Refusal(
    50079,
    _GRANT,
    "○",
    "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
    "enroll in multi-factor authentication to access '{resource}'.",
    suberror="basic_action",
)
CONDITIONAL_ACCESS = Refusal(
    53003,
    _GRANT,
    "○",
    "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    suberror="message_only",
    claims=_CAPOLIDS,
)
LOGIN_REQUIRED = Refusal(
    50058, "login_required", "○", "A silent sign-in request was sent but no user is signed in.", suberror=""
)
CONSENT_MISSING = Refusal(
    65001,
    _GRANT,
    "◐",
    "The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. Send an "
    "interactive authorization request for this user and resource.",
    suberror="consent_required",
)
CONSENT_DECLINED = Refusal(65004, "access_denied", "○", "User declined to consent to access the app.")
ADMIN_CONSENT_NEEDED = Refusal(
    90094,
    "access_denied",
    "◐",
    "The grant requires admin permission: application '{client_id}' asks for permissions that only an administrator "
    "of '{tenant}' can grant.",
)

CODE_EXPIRED = Refusal(
    70008,
    _GRANT,
    "○",
    "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "
    "authorization request for this user and resource.",
)
CODE_REDEEMED = Refusal(
    54005,
    _GRANT,
    "◐",
    "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh "
    "token.",
)
GRANT_MALFORMED = Refusal(9002313, _GRANT, "○", "Invalid request. Request is malformed or invalid.")
GRANT_INVALID = Refusal(70000, _GRANT, "○", "Provided grant is invalid or malformed.")
REDIRECT_DIFFERS = Refusal(
    500112,
    _GRANT,
    "○",
    "The reply address '{given}' does not match the reply address '{wanted}' provided when requesting Authorization "
    "code.",
)
REFRESH_INACTIVE = Refusal(
    700082,
    _GRANT,
    "◐",
    "The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for "
    "{days}.00:00:00.",
)
GRANT_REVOKED = Refusal(
    50173,
    _GRANT,
    "○",
    "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed "
    "or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before which tokens are "
    "not valid) for this user is '{valid_from}'.",
)

DEVICE_PENDING = Refusal(
    70016,
    "authorization_pending",
    "○",
    "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
)
DEVICE_TOO_FAST = Refusal(
    70016, "slow_down", "○", "OAuth 2.0 device flow error. The device polls too fast. Poll less often."
)
DEVICE_DECLINED = Refusal(
    70018, "authorization_declined", "○", "OAuth 2.0 device flow error. The user declined the authorization request."
)
DEVICE_EXPIRED = Refusal(
    70020,
    "expired_token",
    "◐",
    "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
)
DEVICE_UNKNOWN = Refusal(
    70018, "bad_verification_code", "○", "The provided value for the input parameter 'device_code' is not valid."
)
