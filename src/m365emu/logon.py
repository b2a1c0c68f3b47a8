"""Who is speaking: the decisions behind AUTH LOGIN and AUTH XOAUTH2.

Purpose: judge a claim against the tenant as it is now. Source: "Authenticate an IMAP, POP or SMTP connection
using OAuth" (what an application needs: the role SMTP.SendAsApp and FullAccess to the mailbox it names, or a scoped
role and no claim); "Disable basic authentication in Exchange Online" (an authentication policy refuses before the
password is looked at); Entra smart lockout; "OAuth for High Volume Email". SMTP AUTH switched off refuses both
mechanisms.
Shape: `Logons.judge` gives a `Principal` or a `LogonRefused`. The wire gets one of Microsoft's sentences, the
transcript the exact reason. Failures: none rise. Leaves to others: counting tries per connection, the rights that
tokens carry (`entitlement`).
"""

import hmac
from datetime import timedelta

from m365emu import replies
from m365emu.clock import Clock
from m365emu.directory import Directory, Principal
from m365emu.entitlement import Entitlement, NotEntitled
from m365emu.limits import Lockout
from m365emu.replies import Reply
from m365emu.smtp.desk import LogonRefused, Visit
from m365emu.smtp.sasl import BearerClaim, PasswordClaim, failure_challenge
from m365emu.tenant import Mailbox, Tenant
from m365emu.tokens import TokenMaker


class Logons:
    """Judges claims."""

    def __init__(self, directory: Directory, tokens: TokenMaker, lockout: Lockout, clock: Clock) -> None:
        self._directory = directory
        self._tokens = tokens
        self._lockout = lockout
        self._clock = clock
        self._entitlement = Entitlement(directory)

    def judge(self, claim: PasswordClaim | BearerClaim, visit: Visit) -> Principal | LogonRefused:
        """Say who the claim makes its bearer, or why it does not."""
        user = claim.user.lower()
        tenant = self._directory.tenant_of(user) or self._directory.tenant
        if visit.tls is not None and visit.tls.is_old and not tenant.switches.allow_legacy_tls_clients:
            reply = replies.tls_too_old_for_organization(visit.front, self._clock.now())
            return LogonRefused(reply=reply, note="the organisation did not opt in to old TLS")
        if isinstance(claim, BearerClaim):
            return self._judge_token(claim, user, tenant, visit)
        return self._judge_password(claim, user, tenant, visit)

    def _judge_password(
        self, claim: PasswordClaim, user: str, tenant: Tenant, visit: Visit
    ) -> Principal | LogonRefused:
        mailbox = self._directory.mailbox(user)
        is_hve = mailbox is not None and mailbox.kind == "hve"
        if tenant.switches.basic_authentication_retired and not is_hve:
            retired = replies.basic_authentication_retired(tenant.assumptions.retired_code)
            return LogonRefused(reply=retired, note="basic authentication has ended")
        if tenant.switches.basic_authentication_disabled:
            return self._policy(visit, "basic_disabled", "basic authentication is switched off")
        if mailbox is None:
            return self._policy(visit, "credentials", "there is no such mailbox")
        refusal = self._check_password(user, claim.password, mailbox, tenant, visit)
        refusal = refusal or self._check_policies(mailbox, tenant, visit)
        return refusal or self._admit(Principal(mailbox=user, actor=user, method="LOGIN"), mailbox, visit)

    def _check_password(
        self, user: str, password: str, mailbox: Mailbox, tenant: Tenant, visit: Visit
    ) -> LogonRefused | None:
        now, limits = self._clock.now(), tenant.limits
        duration = timedelta(seconds=limits.lockout_seconds)
        if mailbox.account == "locked" or self._lockout.is_locked(user, now, duration):
            return self._policy(visit, "locked", "the account is locked")
        if tenant.switches.federated_sign_in == "unreachable":
            return self._policy(visit, "federation_unreachable", "the organisation's own sign-in cannot be reached")
        if tenant.switches.federated_sign_in == "insecure":
            return self._policy(visit, "federation_insecure", "the organisation's own sign-in has no HTTPS")
        right = mailbox.password.encode()
        if not right or not hmac.compare_digest(right, password.encode()):
            self._lockout.failed(user, now, limits.lockout_failures, duration)
            return self._policy(visit, "credentials", "the password is wrong")
        self._lockout.succeeded(user)
        if mailbox.account == "disabled":
            return self._policy(visit, "account_issue", "the account is disabled")
        if mailbox.kind == "shared":
            return self._policy(visit, "account_issue", "nobody signs in to a shared mailbox")
        if mailbox.account == "password-expired":
            return self._policy(visit, "password_expired", "the password has expired")
        return None

    def _check_policies(self, mailbox: Mailbox, tenant: Tenant, visit: Visit) -> LogonRefused | None:
        if tenant.switches.security_defaults:
            return self._policy(visit, "security_defaults", "security defaults are on")
        if tenant.switches.conditional_access_blocks:
            return self._policy(visit, "conditional_access", "a Conditional Access policy refuses")
        if mailbox.mfa:
            return self._policy(visit, "conditional_access", "the account needs a second factor")
        return None

    def _judge_token(self, claim: BearerClaim, user: str, tenant: Tenant, visit: Visit) -> Principal | LogonRefused:
        facts = self._tokens.read(claim.token)
        if isinstance(facts, str):
            return self._identity(tenant, visit, facts)
        if facts.tenant_id != tenant.id:
            return self._identity(tenant, visit, "the token is from another tenant")
        mailbox = self._directory.mailbox(user)
        if mailbox is None:
            return self._identity(tenant, visit, "there is no such mailbox")
        if mailbox.kind == "hve" and facts.expires - self._clock.now() <= _LEAST_LIFE:
            return LogonRefused(reply=replies.TOKEN_EXPIRES_SOON, note="the token ends within ten minutes")
        actor = self._entitlement.actor(facts, user, mailbox, tenant)
        if not isinstance(actor, NotEntitled):
            return self._admit(Principal(mailbox=user, actor=actor, method="XOAUTH2"), mailbox, visit)
        if actor.lacks_mailbox and tenant.assumptions.missing_mailbox_permission == "at-submission":
            principal = Principal(mailbox=user, actor=facts.client_id, method="XOAUTH2", opens_mailbox=False)
            visit.transcript.note(actor.note)
            return self._admit(principal, mailbox, visit)
        return self._identity(tenant, visit, actor.note)

    def _admit(self, principal: Principal, mailbox: Mailbox, visit: Visit) -> Principal | LogonRefused:
        where = self._directory.smtp_authentication_blocked_by(principal.mailbox)
        # ○ no source says whether the organisation's switch reaches High Volume Email; its own switch does here.
        if where is None or (mailbox.kind == "hve" and where == "Tenant"):
            return principal
        reply = replies.smtp_authentication_disabled(visit.front, self._clock.now(), where)
        return LogonRefused(reply=reply, note=f"SMTP AUTH is switched off for the {where.lower()}")

    def _policy(self, visit: Visit, policy: replies.Policy, note: str) -> LogonRefused:
        return LogonRefused(reply=replies.logon_refused(visit.front, self._clock.now(), policy), note=note)

    def _identity(self, tenant: Tenant, visit: Visit, note: str) -> LogonRefused:
        reply = replies.authentication_unsuccessful(visit.front, self._clock.now())
        challenge: Reply | None = None
        if tenant.assumptions.xoauth2_refusal == "challenge":
            challenge = failure_challenge()
        return LogonRefused(reply=reply, note=note, challenge=challenge)


_LEAST_LIFE = timedelta(minutes=10)
