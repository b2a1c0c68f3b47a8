"""What an answer or a failure means for a recipient. The one place that decides it.

Source: RFC 5321 4.2.1, 4.2.4.2, 4.5.3.1.10; RFC 4954 6; RFC 3463. For replies of Microsoft 365 the catalogue.
Shape: three steps, the first that fits wins. The catalogue knows Microsoft's sentences and says what follows from each,
whichever server speaks them. `RULES` is a table from stage and condition to a meaning for all other servers. Behind it
stand the defaults by stage and class. `classify` and its siblings turn what was answered or what failed into an
`Outcome`.
Failures: none. What no rule knows is temporary, unless a 5xx about the message or the recipient says otherwise.
Leaves to others: Microsoft's replies (``microsoft.replies``), when to try again (``queue.schedule``), what to tell
people (``deliver.bounce``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from posthouse.deliver.failure import LookupTrouble, SessionFailure, Unroutable
from posthouse.mail.outcome import Deferred, Delivered, Failed, OnUnknown, Outcome, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.microsoft.replies import Entry, enhanced_fits, entry_named, find
from posthouse.wire.dsn import trim_reply
from posthouse.wire.smtp.client_events import Answer, CannotSend, NoAnswer, RecipientResult, Stage

_MAIL, _RCPT, _DATA, _CONTENT, _AUTH = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT, Stage.AUTH
_TRANSACTION = (_MAIL, _RCPT, _DATA, _CONTENT)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a reply at one of these stages that meets all conditions means this.

    Attributes:
        codes: Reply codes; empty means any.
        enhanced: Enhanced status codes, the last part may be a range ``500-699``; empty means any.
        text: Regular expression searched in the text without regard to case; empty means any.
        scope: How far the deferral reaches, or None for a permanent failure.
        reason: What it means, for the operator.
        needs_operator: Trying again does harm until a person has acted.
    """

    stages: tuple[Stage, ...]
    codes: tuple[int, ...]
    enhanced: str
    text: str
    scope: Scope | None
    retry_after: timedelta | None
    reason: str
    needs_operator: bool = False

    def applies(self, stage: Stage, reply: Reply) -> bool:
        """Whether the row fits."""
        return (
            stage in self.stages
            and (not self.codes or reply.code in self.codes)
            and (not self.enhanced or enhanced_fits(self.enhanced, reply.enhanced))
            and (not self.text or re.search(self.text, reply.text, re.IGNORECASE) is not None)
        )


_HOP, _MAILBOX, _MESSAGE, _RECIPIENT = Scope.HOP, Scope.MAILBOX, Scope.MESSAGE, Scope.RECIPIENT

RULES: tuple[Rule, ...] = (
    # Log-in. A refused log-in repeated locks the account, so the identity rests.
    Rule((_AUTH,), (), "", r"account locked|locked by|lockout", _MAILBOX, 60 * _MINUTE, "the account is locked", True),
    Rule((_AUTH,), (535,), "", "", _MAILBOX, 15 * _MINUTE, "the log-in was refused"),
    Rule((_AUTH,), (504, 534), "", "", _HOP, 15 * _MINUTE, "the log-in mechanism was refused"),
    Rule((_AUTH,), (430, 432, 454), "", "", _MAILBOX, None, "the log-in failed for the moment"),
    # The server wants something of the session, not of the message.
    Rule(_TRANSACTION, (530,), "", "starttls", _HOP, 15 * _MINUTE, "the server demands TLS"),
    Rule(_TRANSACTION, (451, 454, 550, 554), "", "starttls is required", _HOP, 15 * _MINUTE, "the server demands TLS"),
    Rule(_TRANSACTION, (530,), "", "", _HOP, 15 * _MINUTE, "the server demands a log-in"),
    Rule(_TRANSACTION, (535, 538), "", "", _MAILBOX, 15 * _MINUTE, "the log-in is not accepted"),
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
    # Limits and load; they end by themselves.
    Rule(_TRANSACTION, (432,), "", "", _MAILBOX, _MINUTE, "the server limits this sender for the moment"),
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
                reason = f"the message was sent and no answer came: {cause}"
                return Unknown(reason=reason, retry=on_unknown == "retry", verify=on_unknown == "verify")
            reason = f"no answer about {_STAGE_NAMES[stage]}: {cause}"
            return Deferred(reason=reason, scope=Scope.MESSAGE, is_glitch=True)
        case CannotSend(status=status, reason=reason):
            return Failed(status=status, reason=reason)
        case never:
            assert_never(never)


def classify_session(failure: SessionFailure) -> Deferred:
    """A session that was not opened concerns the connector or the identity, never a recipient."""
    reply = failure.reply
    if reply is None:
        return _without_session(failure)
    entry = _known(str(reply))
    rule = find_rule(failure.stage, reply) if entry is None else None
    if entry is not None:
        reason, scope, after = entry.title, entry.retry.scope, entry.retry.after
        needs_operator = entry.retry.needs_operator
    elif rule is not None:
        reason, scope, after = rule.reason, rule.scope or Scope.HOP, rule.retry_after
        needs_operator = rule.needs_operator
    else:
        reason, scope, after, needs_operator = f"{_STAGE_NAMES[failure.stage]} was refused", Scope.HOP, None, False
    return Deferred(
        reason=f"{reason} ({failure.cause})" if failure.cause else reason,
        reply=_shown(reply),
        scope=Scope.MAILBOX if scope is Scope.MAILBOX else Scope.HOP,
        retry_after=after,
        is_glitch=reply.code == 421 and after is None,
        needs_operator=needs_operator,
        explanation_id=entry.id if entry is not None else "",
    )


def _without_session(failure: SessionFailure) -> Deferred:
    """No server spoke SMTP to us; an authority that refused a token may stand in the cause.

    An authority that cannot be reached is like a host that cannot: it says nothing about the identity.
    """
    entry = _known(failure.cause) if failure.stage is Stage.AUTH else None
    what = entry.title if entry is not None else f"{_STAGE_NAMES[failure.stage]} failed"
    was_told = failure.needs_operator or failure.retry_after is not None
    is_about_identity = (bool(failure.account) and was_told) or (
        entry is not None and entry.retry.scope is Scope.MAILBOX
    )
    is_early = failure.stage in (Stage.CONNECT, Stage.GREETING, Stage.HELLO)
    return Deferred(
        reason=f"{what}: {failure.cause}",
        scope=Scope.MAILBOX if is_about_identity else Scope.HOP,
        retry_after=failure.retry_after or (entry.retry.after if entry is not None else None),
        is_glitch=is_early and not failure.is_ours,
        needs_operator=failure.needs_operator or (entry is not None and entry.retry.needs_operator),
        explanation_id=entry.id if entry is not None else "",
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
    """Whether the next connector may be tried for this recipient within the same attempt.

    Never after an outcome that may have been a delivery. A refusal that concerns only this way to send (too large for
    it, no right to relay, outside recipients not taken) is marked so in the catalogue, a final one too.
    """
    match outcome:
        case Deferred(scope=scope, is_glitch=is_glitch, explanation_id=name):
            return scope in (Scope.HOP, Scope.MAILBOX) or is_glitch or _is_about_the_way(name)
        case Failed(explanation_id=name):
            return _is_about_the_way(name)
        case Delivered() | Unknown():
            return False
        case never:
            assert_never(never)


def may_try_next_address(outcome: Outcome) -> bool:
    """Whether the next address of the same connector may be tried for this recipient within the same attempt.

    It asks the same of us: only a hop or connection that failed is a reason, not what was said about an identity.
    """
    return isinstance(outcome, Deferred) and (outcome.scope is Scope.HOP or outcome.is_glitch)


def _is_about_the_way(name: str) -> bool:
    entry = entry_named(name) if name else None
    return entry is not None and entry.retry.elsewhere


def _known(text: str) -> Entry | None:
    """What the catalogue says of a reply, where that tells what to do."""
    match = find(text)
    return match.entry if match is not None and match.entry.retry.outcome != "unknown" else None


def _classify_refusal(stage: Stage, reply: Reply) -> Deferred | Failed:
    entry = _known(str(reply))
    if entry is not None:
        return _as_catalogue_says(entry, stage, reply)
    rule = find_rule(stage, reply)
    if rule is not None:
        if rule.scope is None:
            return Failed(status=_status(stage, reply), reason=rule.reason, reply=_shown(reply))
        return Deferred(
            reason=rule.reason,
            reply=_shown(reply),
            scope=rule.scope,
            retry_after=rule.retry_after,
            needs_operator=rule.needs_operator,
        )
    name = _STAGE_NAMES[stage]
    if reply.code == 421:
        return Deferred(reason="the server closes the connection", reply=_shown(reply), scope=Scope.HOP, is_glitch=True)
    if reply.is_permanent and stage in _TRANSACTION:
        return Failed(status=_status(stage, reply), reason=f"the server refused {name}", reply=_shown(reply))
    scope = Scope.RECIPIENT if stage is Stage.RCPT else Scope.MESSAGE
    return Deferred(reason=f"the server put off {name}", reply=_shown(reply), scope=scope)


def _as_catalogue_says(entry: Entry, stage: Stage, reply: Reply) -> Deferred | Failed:
    """Final only where the server says so too: a 4xx stays temporary, whatever the sentence."""
    retry = entry.retry
    if retry.outcome == "permanent" and reply.is_permanent:
        return Failed(status=_status(stage, reply), reason=entry.title, reply=_shown(reply), explanation_id=entry.id)
    return Deferred(
        reason=entry.title,
        reply=_shown(reply),
        scope=retry.scope,
        retry_after=retry.after,
        is_glitch=reply.code == 421 and retry.after is None,
        needs_operator=retry.needs_operator,
        explanation_id=entry.id,
    )


def _status(stage: Stage, reply: Reply) -> str:
    """The server's own code if it is a permanent one, else the plainest of the stage (RFC 3463 2)."""
    return reply.enhanced if reply.enhanced.startswith("5.") else _DEFAULT_STATUS.get(stage, "5.0.0")


def _shown(reply: Reply) -> Reply:
    """Exchange appends a dump that helps nobody outside Microsoft."""
    text = trim_reply(reply.text)
    return reply if len(text) == len(reply.text.rstrip()) else Reply(reply.code, reply.enhanced, (text,))
