"""What an answer or a failure means for a recipient. The one place that decides it.

Source: RFC 5321 4.2.1, 4.2.4.2, 4.5.3.1.10; RFC 3463; Microsoft's "Email non-delivery reports in Exchange Online" and
"Fix issues with printers, scanners, and LOB applications" (2026).
Shape: `RULES` is a table from stage and condition to a meaning, first match wins, each with its reason in plain words;
behind it stand the defaults by stage and class. `classify` and its siblings turn what was answered or what failed into
an `Outcome`.
Failures: none. What no rule knows is temporary, unless a 5xx about the message or the recipient says otherwise.
Leaves to others: when to try again (``queue.schedule``), what to tell people (``deliver.bounce``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from posthouse.deliver.failure import LookupTrouble, SessionFailure, Unroutable
from posthouse.mail.outcome import Deferred, Delivered, Failed, OnUnknown, Outcome, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.wire.smtp.client_events import Answer, CannotSend, NoAnswer, RecipientResult, Stage

_MAIL, _RCPT, _DATA, _CONTENT, _AUTH = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT, Stage.AUTH
_TRANSACTION = (_MAIL, _RCPT, _DATA, _CONTENT)
_MINUTE = timedelta(minutes=1)
_DIAGNOSTICS = "[BeginDiagnosticData]"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a reply at one of these stages that meets all conditions means this.

    Attributes:
        codes: Reply codes; empty means any.
        enhanced: Enhanced status codes, the last part may be a range ``500-699``; empty means any.
        text: Regular expression searched in the text without regard to case; empty means any.
        scope: How far the deferral reaches, or None for a permanent failure.
        reason: What it means, for the operator.
    """

    stages: tuple[Stage, ...]
    codes: tuple[int, ...]
    enhanced: str
    text: str
    scope: Scope | None
    retry_after: timedelta | None
    reason: str

    def applies(self, stage: Stage, reply: Reply) -> bool:
        """Whether the row fits."""
        return (
            stage in self.stages
            and (not self.codes or reply.code in self.codes)
            and (not self.enhanced or _enhanced_fits(self.enhanced, reply.enhanced))
            and (not self.text or re.search(self.text, reply.text, re.IGNORECASE) is not None)
        )


_HOP, _MESSAGE, _RECIPIENT = Scope.HOP, Scope.MESSAGE, Scope.RECIPIENT

RULES: tuple[Rule, ...] = (
    # Log-in. A refused log-in repeated locks the account, so the whole connector waits.
    Rule((_AUTH,), (), "", r"account locked|locked by|lockout", _HOP, 60 * _MINUTE, "the account is locked"),
    Rule((_AUTH,), (535,), "", "", _HOP, 15 * _MINUTE, "the log-in was refused"),
    Rule((_AUTH,), (504, 534), "", "", _HOP, 15 * _MINUTE, "the log-in mechanism was refused"),
    Rule((_AUTH,), (454,), "", "", _HOP, None, "the log-in failed for the moment"),
    # The server wants something of the session, not of the message.
    Rule(_TRANSACTION, (530,), "5.7.57", r"Error: 5\d\d", _HOP, 15 * _MINUTE, "the log-in was refused before"),
    Rule(_TRANSACTION, (530,), "", "starttls", _HOP, 15 * _MINUTE, "the server demands TLS"),
    Rule(_TRANSACTION, (451, 454, 550, 554), "", "starttls is required", _HOP, 15 * _MINUTE, "the server demands TLS"),
    Rule(_TRANSACTION, (530,), "", "", _HOP, 15 * _MINUTE, "the server demands a log-in"),
    Rule(_TRANSACTION, (), "5.7.57", "", _HOP, 15 * _MINUTE, "the server demands a log-in"),
    Rule(_TRANSACTION, (535, 538), "", "", _HOP, 15 * _MINUTE, "the log-in is not accepted"),
    Rule(_TRANSACTION, (454,), "4.7.0", "TLS channel", _HOP, 15 * _MINUTE, "the server demands another kind of TLS"),
    Rule(_TRANSACTION, (503,), "", "", _MESSAGE, None, "the server lost step with the session"),
    Rule(
        (_MAIL, _RCPT, _DATA),
        (500, 502),
        "",
        "command|recogni[sz]ed|implemented",
        _MESSAGE,
        None,
        "the server did not know the command",
    ),
    Rule((_AUTH, *_TRANSACTION), (421,), "4.7.66", "", _HOP, 60 * _MINUTE, "the server demands TLS 1.2 or newer"),
    # Limits of the mailbox or tenant that sends; they end by themselves.
    Rule(_TRANSACTION, (432,), "", "", _HOP, _MINUTE, "too many connections of this sender at once"),
    Rule(
        (_MAIL, _CONTENT),
        (),
        "",
        r"SubmissionQuotaExceeded|submission quota (was )?exceeded|daily limit for message recipients",
        _HOP,
        60 * _MINUTE,
        "the sender's daily limit of recipients is used up",
    ),
    Rule(
        (_MAIL, _CONTENT), (550,), "5.7.232-233", "", _HOP, 60 * _MINUTE, "the tenant's daily external limit is used up"
    ),
    Rule(_TRANSACTION, (), "4.7.500-699", "", _HOP, 5 * _MINUTE, "the server slows our address down"),
    Rule(_TRANSACTION, (), "4.7.850-899", "", _HOP, 5 * _MINUTE, "our address is under evaluation"),
    Rule(_TRANSACTION, (), "4.7.230", "", _HOP, 5 * _MINUTE, "the server throttles us"),
    # Load of the server.
    Rule((_MAIL,), (451, 452), "4.3.1-2", "", _HOP, None, "the server has no room just now"),
    Rule(
        (_MAIL, _DATA),
        (421, 450, 451, 452),
        "",
        r"rate limit|too many|try again later|busy",
        _HOP,
        None,
        "the server is busy",
    ),
    Rule((_CONTENT,), (452,), "4.3.1", "", _HOP, None, "the server has no room just now"),
    # Too many recipients in one transaction: RFC 5321 4.5.3.1.10 wants 552 read as 452 there.
    Rule((_RCPT,), (452, 552), "", "too many recipients", _MESSAGE, None, "too many recipients for one transaction"),
    Rule((_RCPT,), (452,), "4.5.3", "", _MESSAGE, None, "too many recipients for one transaction"),
    Rule((_RCPT,), (552,), "5.5.3", "", _MESSAGE, None, "too many recipients for one transaction"),
)
"""First match wins."""

_STAGE_NAMES = {
    Stage.CONNECT: "the connection",
    Stage.GREETING: "the greeting",
    Stage.HELLO: "EHLO",
    Stage.STARTTLS: "STARTTLS",
    Stage.HANDSHAKE: "TLS",
    Stage.AUTH: "the log-in",
    Stage.MAIL: "the sender",
    Stage.RCPT: "the recipient",
    Stage.DATA: "DATA",
    Stage.CONTENT: "the message",
    Stage.RESET: "RSET",
    Stage.NOOP: "NOOP",
    Stage.QUIT: "QUIT",
}
_DEFAULT_STATUS = {_MAIL: "5.1.0", _RCPT: "5.1.0", _DATA: "5.3.0", _CONTENT: "5.0.0"}


def classify(result: RecipientResult, *, on_unknown: OnUnknown, relayed_dsn: bool = False) -> Outcome:
    """Turn one recipient's result of a transaction into its outcome.

    Args:
        on_unknown: The connector's setting.
        relayed_dsn: The server offers DSN, so it will tell the sender itself.
    """
    match result:
        case Answer(stage=stage, reply=reply):
            if reply.code < 300 and stage is Stage.CONTENT:
                return Delivered(reply=reply, relayed_dsn=relayed_dsn)
            return _classify_refusal(stage, reply)
        case NoAnswer(stage=stage, cause=cause, may_be_delivered=may_be_delivered):
            if may_be_delivered:
                return Unknown(
                    reason=f"the message was sent and no answer came: {cause}",
                    retry=on_unknown == "retry",
                    verify=on_unknown == "verify",
                )
            reason = f"no answer about {_STAGE_NAMES[stage]}: {cause}"
            return Deferred(reason=reason, scope=Scope.MESSAGE, is_glitch=True)
        case CannotSend(status=status, reason=reason):
            return Failed(status=status, reason=reason)
        case never:
            assert_never(never)


def classify_session(failure: SessionFailure) -> Deferred:
    """A session that was not opened concerns the connector, never a recipient: the whole line waits."""
    reply = failure.reply
    if reply is None:
        return Deferred(
            reason=f"{_STAGE_NAMES[failure.stage]} failed: {failure.cause}",
            scope=Scope.HOP,
            is_glitch=failure.stage in (Stage.CONNECT, Stage.GREETING, Stage.HELLO) and not failure.is_ours,
        )
    rule = find_rule(failure.stage, reply)
    reason = rule.reason if rule is not None else f"{_STAGE_NAMES[failure.stage]} was refused"
    if failure.cause:
        reason = f"{reason} ({failure.cause})"
    return Deferred(
        reason=reason,
        reply=_shown(reply),
        scope=Scope.HOP,
        retry_after=rule.retry_after if rule is not None else None,
        is_glitch=reply.code == 421,
    )


def classify_lookup(problem: Unroutable | LookupTrouble) -> Failed | Deferred:
    """What DNS said about a domain."""
    match problem:
        case Unroutable(status=status, reason=reason):
            return Failed(status=status, reason=reason)
        case LookupTrouble(reason=reason):
            return Deferred(reason=reason, scope=Scope.HOP, is_glitch=True)
        case never:
            assert_never(never)


def find_rule(stage: Stage, reply: Reply) -> Rule | None:
    """The row that a reply falls under."""
    return next((rule for rule in RULES if rule.applies(stage, reply)), None)


def wants_new_transaction(result: RecipientResult) -> bool:
    """The recipient was turned away only because the transaction had enough of them (452 4.5.3)."""
    if not isinstance(result, Answer) or result.stage is not Stage.RCPT or result.reply.code not in (452, 552):
        return False
    rule = find_rule(result.stage, result.reply)
    return rule is not None and rule.scope is Scope.MESSAGE


def may_try_elsewhere(outcome: Outcome) -> bool:
    """Whether the next host or connector may be tried for this recipient within the same attempt.

    Never after an outcome that may have been a delivery, and not for a deferral about the recipient alone.
    """
    return isinstance(outcome, Deferred) and (outcome.scope is Scope.HOP or outcome.is_glitch)


def _classify_refusal(stage: Stage, reply: Reply) -> Deferred | Failed:
    rule = find_rule(stage, reply)
    if rule is not None:
        if rule.scope is None:
            return Failed(status=_status(stage, reply), reason=rule.reason, reply=_shown(reply))
        return Deferred(reason=rule.reason, reply=_shown(reply), scope=rule.scope, retry_after=rule.retry_after)
    name = _STAGE_NAMES[stage]
    if reply.code == 421:
        return Deferred(reason="the server closes the connection", reply=_shown(reply), scope=Scope.HOP, is_glitch=True)
    if reply.is_permanent and stage in _TRANSACTION:
        return Failed(status=_status(stage, reply), reason=f"the server refused {name}", reply=_shown(reply))
    scope = Scope.RECIPIENT if stage is Stage.RCPT else Scope.MESSAGE
    return Deferred(reason=f"the server put off {name}", reply=_shown(reply), scope=scope)


def _status(stage: Stage, reply: Reply) -> str:
    """The server's own code if it is a permanent one, else the plainest of the stage (RFC 3463 2)."""
    return reply.enhanced if reply.enhanced.startswith("5.") else _DEFAULT_STATUS.get(stage, "5.0.0")


def _shown(reply: Reply) -> Reply:
    """Exchange appends a dump that helps nobody outside Microsoft."""
    if not any(_DIAGNOSTICS in line for line in reply.lines):
        return reply
    text = reply.text.partition(_DIAGNOSTICS)[0].rstrip()
    return Reply(reply.code, reply.enhanced, (text,))


def _enhanced_fits(wanted: str, enhanced: str) -> bool:
    head, _, last = wanted.rpartition(".")
    low, dash, high = last.partition("-")
    if not dash:
        return enhanced == wanted
    found_head, _, found = enhanced.rpartition(".")
    return found_head == head and found.isdigit() and int(low) <= int(found) <= int(high)
