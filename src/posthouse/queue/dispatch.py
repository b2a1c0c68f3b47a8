"""Chooses what is attempted next, and runs the attempts.

Shape: `Dispatcher` owns the waiting lines. Fresh messages come from `push` straight from memory, older ones from the
store when a line has room. One task works a line as long as there is something to do and the limits allow it.
Failures: an exception of the deliverer is a fault of ours: logged, and the copies wait for their next attempt. A store
that cannot write results is asked again until it can; the result of an attempt is never dropped.
Leaves to others: the route of the moment (``plan``), the attempt (``deliver``), state and time (``schedule``), writing
(``settle``), expiry (``sweep``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import structlog

from posthouse.decide.limits import Pace
from posthouse.decide.policy import Policy
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import Lease, RecipientState, RecipientUpdate, Settlement
from posthouse.mail.outcome import AttemptResult, Deferred, Scope
from posthouse.queue.attempt import attempt, permitted
from posthouse.queue.lines import Gate, Line
from posthouse.queue.plan import plan_job
from posthouse.queue.port import Budgeting, Deliverer, NoRoom
from posthouse.queue.recover import note_start
from posthouse.queue.schedule import RetryPlan
from posthouse.queue.settings import Cadence, QueueSettings
from posthouse.queue.settle import Settler
from posthouse.store.port import Queueing, StoreUnavailable

log = structlog.get_logger()

IDLE_LINES_KEPT = 10_000
GIVE_BACK_SECONDS = 5.0
KEEP_SECONDS = 30.0
"""A line that stands still for longer gives its leases back to the store."""
LONGEST_WAIT = 600.0
"""Seconds after which a line that waits for room asks again, whatever it was told."""
AFTER_A_FAULT = 100
"""Attempts that the plan is asked for after a fault of ours: its longest interval."""


class Dispatcher:
    """The waiting lines of this node and the tasks that work them."""

    def __init__(
        self,
        store: Queueing,
        settler: Settler,
        deliverer: Deliverer,
        budgets: Budgeting,
        policy: Policy,
        settings: QueueSettings,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        random: Random,
        cadence: Cadence = Cadence(),  # noqa: B008 - a frozen value
    ) -> None:
        self._look_every = cadence.due
        self._store, self._settler, self._deliverer, self._budgets = store, settler, deliverer, budgets
        self._policy, self._settings, self._plan = policy, settings, RetryPlan(settings)
        self._clock, self._monotonic, self._random = clock, monotonic, random
        self._gates: dict[str, Gate] = {}
        self.lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_memory = 0
        self._held: Counter[MessageId] = Counter()
        self._is_frozen = False
        self._in_memory_octets = 0
        self._stopping = False
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()

    def line(self, hop: str) -> Line:
        """The waiting line of a hop, made when it is first needed."""
        line = self.lines.get(hop)
        if line is None:
            connector = connector_of(hop)
            gate = self._gates.get(connector)
            if gate is None:
                gate = self._gates[connector] = Gate(self._policy.ways.get(connector))
            if len(self.lines) >= IDLE_LINES_KEPT:
                self._forget_idle_lines()
            line = self.lines[hop] = Line(hop, gate)
        return line

    def has_room(self, hop: str, octets: int) -> bool:
        """Whether a fresh message of this size may be born leased: memory, and a line that could attempt it soon."""
        return (
            not self._stopping
            and not self._is_frozen
            and self._in_memory < self._settings.in_memory
            and self._in_memory_octets + octets <= self._settings.in_memory_octets
            and self.line(hop).keeps_in_memory(self._monotonic())
        )

    def push(self, lease: Lease) -> None:
        """Take a fresh, committed message."""
        if self._stopping:
            self._held[lease.message.id] += 1
            self._spawn(self._give_back([lease]))
            return
        line = self.line(lease.hop)
        self._held[lease.message.id] += 1
        line.push(lease)
        self._in_memory += 1
        self._in_memory_octets += lease.message.content.size_octets
        self._start(line)

    def stored(self, hop: str) -> None:
        """A message of this waiting line was left to the store."""
        line = self.line(hop)
        line.has_stored = True
        self._start(line)

    def wake(self) -> None:
        """Look into the store now, not at the next tick."""
        self._wake.set()

    async def run(self) -> None:
        """Look for due copies until cancelled: at intervals, or when woken."""
        while True:
            try:
                await self._look()
            except StoreUnavailable as error:
                log.error("queue.store_unavailable", reason=str(error))
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self._look_every)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        for due in await self._store.due(self._clock()):
            line = self.line(due.hop)
            line.has_stored = True
        now = self._monotonic()
        for line in list(self.lines.values()):
            if line.leases or line.has_stored:
                if line.may_start(now):
                    self._start(line)
                elif line.leases and not line.running and (line.gate.paused or line.blocked_until > now + KEEP_SECONDS):
                    self._spawn(self._give_back(self._empty(line)))

    def _start(self, line: Line) -> None:
        now = self._monotonic()
        if self._stopping or not line.may_start(now):
            return
        wanted = len(line.leases) if line.leases else (1 if line.has_stored and not line.refilling else 0)
        for _ in range(min(wanted, line.gate.per_line - line.running)):
            if not line.may_start(now):
                return
            line.running += 1
            line.gate.running += 1
            self._spawn(self._work(line))

    async def _work(self, line: Line) -> None:
        try:
            while await self._take_one(line):
                pass
        finally:
            line.running -= 1
            line.gate.running -= 1
            if line.leases:
                self._start(line)

    async def _take_one(self, line: Line) -> bool:
        """Attempt one message; False when the task has nothing more to do."""
        if not self._may_go_on(line):
            return False
        if line.has_stored and len(line.leases) < line.gate.refill_below and not line.refilling:
            await self._refill(line)
            if not self._may_go_on(line):
                return False
        if not line.leases:
            return False
        if line.gate.pace is not None:
            await self._wait_for_turn(line.gate.pace)
            if not line.leases or not self._may_go_on(line):
                return False
        lease = line.pop()
        self._in_memory -= 1
        self._in_memory_octets -= lease.message.content.size_octets
        try:
            await self._attempt(line, lease)
            self._let_go(lease)
        except Exception:  # a fault of ours must not keep a copy leased for ever
            log.exception("queue.attempt_not_settled", message_id=lease.message.id, hop=lease.hop)
            await self._give_back([lease], after=self._plan.interval(AFTER_A_FAULT, 0.5))
        return True

    async def _wait_for_turn(self, pace: Pace) -> None:
        seconds = pace.reserve(self._monotonic())
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)

    def _may_go_on(self, line: Line) -> bool:
        if self._stopping or self._is_frozen or line.gate.paused or line.blocked_until > self._monotonic():
            return False
        return not (line.failures and line.running > 1)

    async def _refill(self, line: Line) -> None:
        line.refilling = True
        try:
            now = self._clock()
            until = now + self._settings.lease_for
            leases = await self._store.lease(
                line.hop, now=now, until=until, limit=line.gate.refill, is_fair=line.gate.is_budgeted
            )
        except StoreUnavailable as error:
            log.error("queue.lease_failed", hop=line.hop, reason=str(error))
            line.has_stored = False
            return
        finally:
            line.refilling = False
        self._held.update(lease.message.id for lease in leases)
        if self._stopping:
            await self._give_back(leases)
            return
        line.has_stored = len(leases) >= line.gate.refill
        for lease in leases:
            line.push(lease)
            self._in_memory += 1
            self._in_memory_octets += lease.message.content.size_octets
        if len(leases) > 1:
            self._start(line)

    async def _attempt(self, line: Line, lease: Lease) -> None:
        plan = plan_job(self._policy, lease, self._clock())
        if plan.moved:
            await self._settler.write(Settlement(message_id=lease.message.id, updates=tuple(plan.moved)))
            self.wake()
        if plan.refused:
            indices = {result.index for result in plan.refused}
            refused = tuple(w for w in lease.waiting if w.index in indices)
            await self._settler.settle(replace(lease, waiting=refused), plan.refused)
        if plan.later:
            self._put_back(line, replace(lease, waiting=plan.later))
        if plan.job is None:
            return
        job = await permitted(plan.job, self._budgets)
        if isinstance(job, NoRoom):
            self._put_back(line, plan.job.lease)
            self._rest(line, job)
            return
        line.waits_for = ""
        await note_start(job, self._store, self._clock())
        results = await attempt(job, self._deliverer)
        self._note_hop(line, results)
        await self._settler.settle(job.lease, results)

    def _put_back(self, line: Line, lease: Lease) -> None:
        self._held[lease.message.id] += 1
        if self._stopping or self._is_frozen:
            # An operator acts at this moment, or the node stops: nothing is kept in memory.
            self._spawn(self._give_back([lease]))
            return
        line.put_back(lease)
        self._in_memory += 1
        self._in_memory_octets += lease.message.content.size_octets

    def _rest(self, line: Line, room: NoRoom) -> None:
        """Nothing more of this line until there is room: it waits, which is no failure."""
        seconds = min(max(room.wait.total_seconds(), 0.01), LONGEST_WAIT)
        line.waits_for = room.reason
        line.blocked_until = max(line.blocked_until, self._monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds, self._start, line)

    def _note_hop(self, line: Line, results: Sequence[AttemptResult]) -> None:
        for result in results:
            outcome = result.outcome
            if isinstance(outcome, Deferred) and _concerns_line(outcome, line):
                wait = max(
                    self._plan.interval(line.failures + 1, self._random.random()), outcome.retry_after or timedelta()
                )
                if not line.failures:
                    log.warning(
                        "queue.line_blocked", hop=line.hop, reason=outcome.reason, seconds=round(wait.total_seconds())
                    )
                line.block(self._monotonic() + wait.total_seconds(), outcome.reason)
                return
        if results:
            if line.failures:
                log.info("queue.line_open_again", hop=line.hop)
            line.succeeded()

    @property
    def resting(self) -> dict[str, str]:
        """Waiting lines that wait for room in a limit, with the reason."""
        now = self._monotonic()
        return {line.hop: line.waits_for for line in self.lines.values() if line.waits_for and line.blocked_until > now}

    @property
    def troubles(self) -> dict[str, str]:
        """Waiting lines whose next hop fails, with the reason of the last failure."""
        return {line.hop: line.last_reply for line in self.lines.values() if line.failures}

    def set_policy(self, policy: Policy) -> None:
        """Use a new revision of the flow from now on."""
        self._policy = policy
        for name, gate in self._gates.items():
            gate.configure(policy.ways.get(name))
        for line in self.lines.values():
            line.succeeded()
            self._start(line)
        self.wake()

    def unblock(self, hop: str | None = None) -> None:
        """Forget back-off, of one line or of all."""
        for name, line in self.lines.items():
            if hop is None or name == hop or name.startswith(hop + "/"):
                line.succeeded()
        self.wake()

    def in_hand(self) -> Collection[MessageId]:
        """Messages that this node has leased and works on, or keeps in memory for it."""
        return self._held.keys()

    def _let_go(self, lease: Lease) -> None:
        self._held[lease.message.id] -= 1
        if self._held[lease.message.id] <= 0:
            del self._held[lease.message.id]

    def resume(self) -> None:
        """Go on after `surrender`."""
        self._is_frozen = False
        self.wake()

    async def surrender(self) -> None:
        """Give all leases that nobody works on back to the store, so that an operator's action reaches them.

        Nothing is begun from then on, until `resume`.
        """
        self._is_frozen = True
        await asyncio.gather(*(self._give_back(self._empty(line)) for line in list(self.lines.values()) if line.leases))

    async def stop(self, deadline: float) -> None:
        """Let running attempts end (at most `deadline` seconds), give back the rest."""
        self._stopping = True
        self._stopped.set()
        with suppress(TimeoutError):
            # A store that cannot write must not keep the process: the next start takes the leases back.
            await asyncio.wait_for(self.surrender(), GIVE_BACK_SECONDS)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=deadline)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=5)

    def _empty(self, line: Line) -> list[Lease]:
        leases = line.drain()
        self._in_memory -= len(leases)
        self._in_memory_octets -= sum(lease.message.content.size_octets for lease in leases)
        line.has_stored = line.has_stored or bool(leases)
        return leases

    async def _give_back(self, leases: Sequence[Lease], after: timedelta = timedelta()) -> None:
        now = self._clock()
        for lease in leases:
            updates = tuple(
                RecipientUpdate(
                    index=w.index, state=RecipientState.PENDING, next_at=now + after, counts_as_attempt=False
                )
                for w in lease.waiting
            )
            returned = (Event(now, EventKind.LEASE_RETURNED, lease.message.id),) if self._stopping or after else ()
            await self._settler.write(Settlement(message_id=lease.message.id, updates=updates, events=returned))
            self._let_go(lease)

    def _forget_idle_lines(self) -> None:
        idle = [hop for hop, line in self.lines.items() if not (line.leases or line.running or line.failures)]
        for hop in idle:
            del self.lines[hop]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def connector_of(hop: str) -> str:
    """Name of the first connector of a waiting line: the part before ``/`` or ``+``."""
    return hop.partition("+")[0].partition("/")[0]


def _concerns_line(outcome: Deferred, line: Line) -> bool:
    """Where nothing else than one log-in leads on, a refused log-in stops the whole line."""
    return outcome.scope is Scope.HOP or (outcome.scope is Scope.MAILBOX and not line.gate.is_budgeted)
