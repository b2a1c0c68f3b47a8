"""Budgets: attempts stay inside the limits of mailboxes, applications and tenants, before the other side says no.

Source: Microsoft's limits (``microsoft.limits``), as ``decide.ways`` turns them into charges.
Shape: `Budgets.take` picks a mailbox that has room and takes what the attempt costs, on disk before it returns, so that
a restart or another node on the same store never exceeds a limit. `finish` frees the connection and hears what the
server said: it slows down when told so and recovers by and by; a mailbox whose log-in was refused rests.
Failures: `NoRoom` as a value. Where the store cannot count, nothing is granted; what an attempt led to is never lost
for it, because a delivered message whose result is forgotten would be sent twice.
Leaves to others: waiting (``dispatch``), the counts themselves (``store``), what a reply means (``deliver.classify``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from posthouse.decide.ways import Way
from posthouse.mail.address import Address
from posthouse.mail.budget import BudgetUse, Charge, Pause
from posthouse.mail.message import Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Scope
from posthouse.queue.port import NoRoom, Permit
from posthouse.store.budgeting import Budgeting as BudgetStore
from posthouse.store.port import StoreUnavailable

log = structlog.get_logger()

REST = timedelta(minutes=15)
"""A mailbox whose log-in was refused rests for this long where the reply asks for nothing else."""
WORTH_TELLING = timedelta(minutes=10)
"""A shorter rest is how the limits work, and nobody need be told."""
LONGEST_REST = timedelta(days=365)
"""What `NoRoom` says where a person has to act first."""
CONNECTION_WAIT = timedelta(seconds=1)
STORE_WAIT = timedelta(seconds=5)
SLOWEST = 0.1
RECOVERY = 1.25
RECOVER_EVERY = timedelta(minutes=1)
KEEP_COUNTS = timedelta(days=2)


@dataclass(slots=True)
class _Slowed:
    """How much of the published pace a mailbox is trusted with after it was told to slow down."""

    factor: float
    since: datetime


class Budgets:
    """Grants permits."""

    def __init__(
        self,
        store: BudgetStore,
        *,
        is_internal: Callable[[str], bool],
        clock: Callable[[], datetime],
        on_pause: Callable[[Pause], None] = lambda pause: None,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `open` reads what an earlier run left.

        Args:
            store: Keeps counts and pauses.
            is_internal: Tells accepted domains.
            on_pause: Told when an account has to rest until a person acts, or for long.
            on_room: Told when a connection is free or a pause has ended.
        """
        self._store, self._clock = store, clock
        self.is_internal = is_internal
        self._on_pause, self._on_room = on_pause, on_room
        self._open: Counter[str] = Counter()
        self._running: dict[int, Permit] = {}
        self._full: dict[tuple[str, int], tuple[datetime, int]] = {}
        self._slowed: dict[str, _Slowed] = {}
        self._turn: dict[str, int] = {}
        self.pauses: dict[str, Pause] = {}

    async def open(self) -> None:
        """Read the pauses that still count."""
        self.pauses = {pause.account: pause for pause in await self._store.pauses()}

    async def take(self, way: Way, sender: Address | None, waiting: Sequence[Waiting]) -> Permit | NoRoom:
        """Take what one message to these recipients costs, or say when there is room; see `queue.port.Budgeting`."""
        now = self._clock()
        external = sum(1 for w in waiting if not self.is_internal(w.recipient.address.domain))
        refused: NoRoom | None = None
        for mailbox in self._in_turn(way, way.mailboxes_for(sender)):
            answer = await self._take_from(way, mailbox, len(waiting), external, now)
            if isinstance(answer, Permit):
                return answer
            refused = answer if refused is None or answer.wait < refused.wait else refused
        reason = f"{way.name} has no mailbox for the sender {sender or '<>'}"
        return refused or NoRoom(wait=LONGEST_REST, reason=reason)

    async def _take_from(
        self, way: Way, mailbox: str, recipients: int, external: int, now: datetime
    ) -> Permit | NoRoom:
        resting = self._resting(way.accounts(mailbox), now)
        if resting is not None:
            return resting
        account = way.account(mailbox)
        most = way.limits.connections
        if most is not None and self._open[account] >= most:
            return NoRoom(wait=CONNECTION_WAIT, reason=f"{most} connections of {mailbox or way.name} are in use")
        charges = tuple(
            self._at_its_pace(charge, account, now) for charge in way.charges(mailbox, recipients, external)
        )
        if known := [found for charge in charges if (found := self._known_full(charge, now)) is not None]:
            return max(known, key=lambda room: room.wait)
        self._open[account] += 1
        spent = None
        try:
            spent = await self._store.spend(charges, now) if charges else None
        except StoreUnavailable as error:
            self._open[account] -= 1
            return NoRoom(wait=STORE_WAIT, reason=f"what is sent cannot be counted: {error}")
        except BaseException:
            self._open[account] -= 1
            raise
        if spent is None:
            permit = Permit(way=way, mailbox=mailbox, charges=charges, taken_at=now)
            self._running[id(permit)] = permit
            return permit
        self._open[account] -= 1
        charge, until = spent
        self._full[(charge.key, charge.limit)] = (until, charge.amount)
        return _full(until, charge, now)

    async def give_back(self, permit: Permit) -> None:
        """Nothing was attempted; see `queue.port.Budgeting`."""
        self._running.pop(id(permit), None)
        self._open[permit.way.account(permit.mailbox)] -= 1
        await self._move(permit.charges, permit.taken_at, None)
        self._on_room()

    async def finish(self, permit: Permit, results: Sequence[AttemptResult]) -> None:
        """The attempt ended; see `queue.port.Budgeting`."""
        now, way = self._clock(), permit.way
        accounts, account = way.accounts(permit.mailbox), permit.way.account(permit.mailbox)
        self._running.pop(id(permit), None)
        self._open[account] -= 1
        outcomes = [result.outcome for result in results]
        if not outcomes:
            # The attempt broke off; what was taken for it stays counted.
            self._on_room()
            return
        for outcome in outcomes:
            if isinstance(outcome, Deferred):
                await self._hear(accounts, account, outcome, now)
        if all(_never_began(result) for result in results):
            await self._move(permit.charges, permit.taken_at, None)
        elif late := [c for c in permit.charges if now - permit.taken_at >= c.slot]:
            # The other side counts at the end of the message, so that is when this use begins to age.
            await self._move(late, permit.taken_at, now)
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            await self._recover(accounts, account, now)
        self._on_room()

    async def _hear(self, accounts: Sequence[str], account: str, outcome: Deferred, now: datetime) -> None:
        reply = outcome.reply
        if reply is not None and reply.is_transient and outcome.retry_after is not None:
            slowed = self._slowed.get(account)
            factor = max(SLOWEST, (slowed.factor if slowed else 1.0) / 2)
            self._slowed[account] = _Slowed(factor, now)
            log.warning("budget.slowed_down", account=account, to_percent=round(factor * 100), reason=outcome.reason)
        if outcome.scope is Scope.MAILBOX:
            # A log-in that a server refused is not tried again, because that locks accounts; a token that was not given
            # may be asked for now and then, and concerns all mailboxes of the identity.
            is_refused = outcome.needs_operator and reply is not None
            until = None if is_refused else now + (outcome.retry_after or REST)
            resting = account if reply is not None else accounts[0]
            await self.pause(resting, until, outcome.reason, str(reply) if reply is not None else "")

    async def pause(self, account: str, until: datetime | None, reason: str, reply: str = "") -> None:
        """Let an account rest; None until a person acts."""
        now = self._clock()
        known = self.pauses.get(account)
        pause = Pause(account=account, since=known.since if known else now, until=until, reason=reason, reply=reply)
        self.pauses[account] = pause
        try:
            await self._store.save_pause(pause)
        except StoreUnavailable as error:
            log.error("budget.pause_not_kept", account=account, reason=str(error))
        if known is None or (known.until is None) != (until is None):
            log.warning("budget.paused", account=account, until=str(until or "a person acts"), reason=reason)
            if until is None or until - now >= WORTH_TELLING:
                self._on_pause(pause)

    async def resume(self, accounts: Collection[str] | None = None) -> list[str]:
        """End pauses: of these accounts, or of all. Returns whose ended."""
        ended = [account for account in self.pauses if accounts is None or account in accounts]
        for account in ended:
            await self._store.remove_pause(account)
            self.pauses.pop(account, None)
        if accounts is None:
            self._slowed.clear()
        self._full.clear()
        if ended:
            self._on_room()
        return ended

    def resting(self) -> list[Pause]:
        """Accounts that rest at this moment."""
        now = self._clock()
        return [pause for pause in self.pauses.values() if pause.until is None or pause.until > now]

    async def uses(self) -> list[BudgetUse]:
        """What is used of each limit now."""
        return await self._store.budget_uses(self._clock())

    async def forget_old(self) -> None:
        """Remove counts that no window reaches any more."""
        now = self._clock()
        await self._store.forget_budgets(now - KEEP_COUNTS)
        self._full = {key: known for key, known in self._full.items() if known[0] > now}
        for pause in [p for p in self.pauses.values() if p.until is not None and p.until < now - KEEP_COUNTS]:
            await self._store.remove_pause(pause.account)
            del self.pauses[pause.account]
        self._open = Counter({account: count for account, count in self._open.items() if count})

    def factor(self, account: str) -> float:
        """The share of the published pace that is used at present."""
        slowed = self._slowed.get(account)
        return slowed.factor if slowed else 1.0

    def _in_turn(self, way: Way, mailboxes: Sequence[str]) -> Iterable[str]:
        """A pool's mailboxes, each message beginning with the next one, so that the load is shared."""
        if len(mailboxes) < 2:
            return mailboxes
        first = self._turn[way.name] = (self._turn.get(way.name, -1) + 1) % len(mailboxes)
        return (*mailboxes[first:], *mailboxes[:first])

    def _resting(self, accounts: Sequence[str], now: datetime) -> NoRoom | None:
        for account in accounts:
            pause = self.pauses.get(account)
            if pause is not None and (pause.until is None or pause.until > now):
                wait = pause.until - now if pause.until is not None else LONGEST_REST
                who = account.partition(":")[2]
                return NoRoom(wait=wait, reason=f"{who} rests: {pause.reason}")
        return None

    def _known_full(self, charge: Charge, now: datetime) -> NoRoom | None:
        """What was refused a moment ago need not be asked of the store again; less of it might still fit."""
        until, amount = self._full.get((charge.key, charge.limit), (now, 0))
        return _full(until, charge, now) if until > now and charge.amount >= amount else None

    def _at_its_pace(self, charge: Charge, account: str, now: datetime) -> Charge:
        factor = self.factor(account) if charge.window <= timedelta(hours=1) else 1.0
        limit = charge.limit if factor >= 1.0 else max(charge.amount, int(charge.limit * factor))
        return replace(charge, limit=limit - self._yet_to_count(charge, now))

    def _yet_to_count(self, charge: Charge, now: datetime) -> int:
        """What attempts that last longer than the window will use anew when they end."""
        late = [permit for permit in self._running.values() if now - permit.taken_at >= charge.window]
        return sum(taken.amount for permit in late for taken in permit.charges if taken.key == charge.key)

    async def _recover(self, accounts: Sequence[str], account: str, now: datetime) -> None:
        if mended := [rested for rested in accounts if rested in self.pauses]:
            try:
                await self.resume(mended)
            except StoreUnavailable as error:
                log.error("budget.pause_not_ended", accounts=mended, reason=str(error))
        slowed = self._slowed.get(account)
        if slowed is None or now - slowed.since < RECOVER_EVERY:
            return
        slowed.factor, slowed.since = slowed.factor * RECOVERY, now
        if slowed.factor >= 1.0:
            del self._slowed[account]

    async def _move(self, charges: Sequence[Charge], taken_at: datetime, to: datetime | None) -> None:
        """What cannot be moved stays counted: less is sent for a while, and never more."""
        try:
            await self._store.move(charges, taken_at, to)
        except StoreUnavailable as error:
            log.error("budget.not_moved", reason=str(error))
            return
        if to is None:
            # Ways with limits of their own may share a count.
            keys = {charge.key for charge in charges}
            self._full = {known: full for known, full in self._full.items() if known[0] not in keys}


def _full(until: datetime, charge: Charge, now: datetime) -> NoRoom:
    who = charge.account.partition(":")[2]
    span = {60: "a minute", 3600: "an hour", 600: "ten minutes", 86400: "a day"}.get(
        int(charge.window.total_seconds()), str(charge.window)
    )
    return NoRoom(wait=until - now, reason=f"the limit of {charge.limit} {charge.what} {span} of {who} is used up")


def _never_began(result: AttemptResult) -> bool:
    """No content was on its way, so the other side counted nothing."""
    outcome = result.outcome
    return isinstance(outcome, Deferred) and outcome.reply is None
