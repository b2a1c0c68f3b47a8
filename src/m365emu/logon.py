"""Who is speaking: the decisions behind AUTH LOGIN and AUTH XOAUTH2.

Purpose: judge a claim against the tenant as it is now. Source: "Authenticate an IMAP, POP or SMTP connection
using OAuth" (what an application needs: the role SMTP.SendAsApp and FullAccess to the mailbox it names);
"Disable basic authentication in Exchange Online" (an authentication policy refuses before the password is
looked at); Entra smart lockout. SMTP AUTH switched off refuses both mechanisms.
Shape: `Logons.judge` gives a `Principal` or a `LogonRefused`. The wire gets one of Microsoft's sentences, the
transcript the exact reason. Failures: none rise. Leaves to others: counting tries per connection.
"""

import hmac
from datetime import timedelta

from m365emu import replies
from m365emu.clock import Clock
from m365emu.directory import Directory, Principal
from m365emu.hosts import FrontEnd
from m365emu.limits import Lockout
from m365emu.smtp.desk import LogonRefused
from m365emu.smtp.sasl import BearerClaim, PasswordClaim
from m365emu.tenant import Mailbox
from m365emu.tokens import TokenMaker

ROLE = "SMTP.SendAsApp"


class Logons:
    """Judges claims."""

    def __init__(self, directory: Directory, tokens: TokenMaker, lockout: Lockout, clock: Clock) -> None:
        self._directory = directory
        self._tokens = tokens
        self._lockout = lockout
        self._clock = clock

    def judge(self, claim: PasswordClaim | BearerClaim, front: FrontEnd) -> Principal | LogonRefused:
        """Say who the claim makes its bearer, or why it does not."""
        if isinstance(claim, BearerClaim):
            return self._judge_token(claim, front)
        return self._judge_password(claim, front)

    def _judge_password(self, claim: PasswordClaim, front: FrontEnd) -> Principal | LogonRefused:
        user = claim.user.lower()
        mailbox = self._directory.mailbox(user)
        if self._directory.tenant.switches.basic_authentication_disabled:
            return self._policy(front, "basic_disabled", "basic authentication is switched off")
        if mailbox is None:
            return self._policy(front, "credentials", "there is no such mailbox")
        refusal = self._check_password(user, claim.password, mailbox, front) or self._check_policies(front)
        return refusal or self._admit(Principal(mailbox=user, actor=user, method="LOGIN"), front)

    def _check_password(self, user: str, password: str, mailbox: Mailbox, front: FrontEnd) -> LogonRefused | None:
        now, limits = self._clock.now(), self._directory.tenant.limits
        duration = timedelta(seconds=limits.lockout_seconds)
        if mailbox.account == "locked" or self._lockout.is_locked(user, now, duration):
            return self._policy(front, "locked", "the account is locked")
        right = mailbox.password.encode()
        if not right or not hmac.compare_digest(right, password.encode()):
            self._lockout.failed(user, now, limits.lockout_failures, duration)
            return self._policy(front, "credentials", "the password is wrong")
        self._lockout.succeeded(user)
        if mailbox.account == "disabled":
            return self._policy(front, "account_issue", "the account is disabled")
        if mailbox.account == "password-expired":
            return self._policy(front, "password_expired", "the password has expired")
        return None

    def _check_policies(self, front: FrontEnd) -> LogonRefused | None:
        switches = self._directory.tenant.switches
        if switches.security_defaults:
            return self._policy(front, "security_defaults", "security defaults are on")
        if switches.conditional_access_blocks:
            return self._policy(front, "conditional_access", "a Conditional Access policy refuses")
        return None

    def _judge_token(self, claim: BearerClaim, front: FrontEnd) -> Principal | LogonRefused:
        facts = self._tokens.read(claim.token)
        if isinstance(facts, str):
            return self._identity(front, facts)
        user = claim.user.lower()
        if facts.tenant_id != self._directory.tenant.id:
            return self._identity(front, "the token is from another tenant")
        if self._directory.mailbox(user) is None:
            return self._identity(front, "there is no such mailbox")
        if self._directory.application(facts.client_id) is None:
            return self._identity(front, "the application is not registered any more")
        if ROLE not in facts.roles:
            return self._identity(front, f"the token lacks the role {ROLE}")
        if not self._directory.has_full_access(facts.client_id, user):
            return self._identity(front, "the application has no FullAccess to this mailbox")
        return self._admit(Principal(mailbox=user, actor=facts.client_id, method="XOAUTH2"), front)

    def _admit(self, principal: Principal, front: FrontEnd) -> Principal | LogonRefused:
        where = self._directory.smtp_authentication_blocked_by(principal.mailbox)
        if where is None:
            return principal
        reply = replies.smtp_authentication_disabled(front, self._clock.now(), where)
        return LogonRefused(reply=reply, note=f"SMTP AUTH is switched off for the {where.lower()}")

    def _policy(self, front: FrontEnd, policy: replies.Policy, note: str) -> LogonRefused:
        return LogonRefused(reply=replies.logon_refused(front, self._clock.now(), policy), note=note)

    def _identity(self, front: FrontEnd, note: str) -> LogonRefused:
        return LogonRefused(reply=replies.authentication_unsuccessful(front, self._clock.now()), note=note)
