"""All operations over one store: what the control API serves and what commands use while no node runs.

Shape: `Services` binds each `Operation` to its handler; `call` carries one out. A store that cannot work just now is
answered as ``unavailable``, whoever asked.
Failures: `Refusal` values; any exception is a broken promise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from posthouse.mail.address import Address, AddressError
from posthouse.mail.ids import show_message_id
from posthouse.operate import operations as ops
from posthouse.operate.account_service import AccountService
from posthouse.operate.account_shapes import NewSecret, SecretView, SecretViews
from posthouse.operate.budget_service import BudgetService
from posthouse.operate.flow_service import FlowService
from posthouse.operate.identity_service import IdentityService
from posthouse.operate.metrics_service import MetricsService
from posthouse.operate.operations import AnswerT, Handler, Operation, RequestT
from posthouse.operate.other_half_service import OtherHalfService
from posthouse.operate.port import LocalIntake, NodeControl, NodeStatus, Parts, Reloaded
from posthouse.operate.problem import Problem
from posthouse.operate.queue_service import QueueService
from posthouse.operate.shapes import Named, Nothing, Refusal, SubmissionEnvelope, Submitted
from posthouse.operate.trace_service import TraceService
from posthouse.receive.local import NotTaken
from posthouse.store.port import Store, StoreUnavailable
from posthouse.store.sealing import Sealer

NO_NODE = Refusal(code="unavailable", message="no node is running here; start it with `posthouse run`")
MAX_RECIPIENTS = 10_000
_SECRET_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_MAX_SECRET = 64 * 1024


class Services:
    """Every operation, bound to what carries it out.

    Args:
        parts: Open store, levers of the queue, local intake and the sealing key.
        flow_file: Path of flow.toml.
        judge: Problems of a flow's text.
        node: The running node, or None for a command that works alone.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        flow_file: Path,
        judge: Callable[[str], Sequence[Problem]],
        node: NodeControl | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._intake = parts.intake
        self._handlers: dict[str, Handler[Any, Any]] = {}
        self._budgets = BudgetService(parts.store, clock)
        self._bind_queue_and_trace(parts, clock)
        self._bind_flow(FlowService(parts.store, flow_file, judge, node, clock))
        self._bind_accounts(AccountService(parts.store, parts.accounts))
        self._bind_secrets(SecretService(parts.store, parts.sealer, clock))
        self._bind_identities(IdentityService(parts.identities, parts.budgets, parts.queue, parts.store, clock))
        self._bind(ops.NODE_METRICS, MetricsService(parts.store, parts.identities, self._budgets, clock).text)
        self._bind(ops.TRACE_MICROSOFT, OtherHalfService(parts.store, parts.identities, clock).show)
        service = NodeService(node)
        self._bind(ops.NODE_STATUS, service.status)
        self._bind(ops.NODE_RELOAD, service.reload)

    async def call(self, operation: Operation[RequestT, AnswerT], request: RequestT, by: str) -> AnswerT | Refusal:
        """Carry out one operation for somebody."""
        try:
            answer: AnswerT | Refusal = await self._handlers[operation.name](request, by)
        except StoreUnavailable as error:
            return Refusal(code="unavailable", message=f"the store cannot work just now: {error}")
        return answer

    async def submit(self, envelope: SubmissionEnvelope, content: bytes, by: str) -> Submitted | Refusal:
        """Take a message from a command on this machine."""
        try:
            return await _submit(self._intake, envelope, content, by)
        except StoreUnavailable as error:
            return Refusal(code="unavailable", message=f"the store cannot work just now: {error}")

    def _bind(self, operation: Operation[RequestT, AnswerT], handler: Handler[RequestT, AnswerT]) -> None:
        self._handlers[operation.name] = handler

    def _bind_queue_and_trace(self, parts: Parts, clock: Callable[[], datetime]) -> None:
        queue, trace = QueueService(parts.store, parts.queue, clock), TraceService(parts.store, clock)
        self._bind(ops.QUEUE_LIST, queue.list)
        self._bind(ops.QUEUE_HOPS, queue.hops)
        self._bind(ops.QUEUE_CHANGE, queue.change)
        self._bind(ops.QUEUE_BUDGETS, self._budgets.list)
        self._bind(ops.TRACE_SEARCH, trace.search)
        self._bind(ops.TRACE_SHOW, trace.show)
        self._bind(ops.TRACE_DOOR, trace.door)
        self._bind(ops.TRACE_FOLLOW, trace.follow)

    def _bind_flow(self, flow: FlowService) -> None:
        self._bind(ops.FLOW_SHOW, flow.show)
        self._bind(ops.FLOW_HISTORY, flow.history)
        self._bind(ops.FLOW_APPLY, flow.apply)

    def _bind_accounts(self, accounts: AccountService) -> None:
        self._bind(ops.ACCOUNT_LIST, accounts.list)
        self._bind(ops.ACCOUNT_ADD, accounts.add)
        self._bind(ops.ACCOUNT_PASSWORD, accounts.set_password)
        self._bind(ops.ACCOUNT_SWITCH, accounts.switch)
        self._bind(ops.ACCOUNT_SENDERS, accounts.set_senders)
        self._bind(ops.ACCOUNT_REMOVE, accounts.remove)
        self._bind(ops.APP_PASSWORD_ADD, accounts.add_app_password)
        self._bind(ops.APP_PASSWORD_REVOKE, accounts.revoke_app_password)

    def _bind_identities(self, identities: IdentityService) -> None:
        self._bind(ops.IDENTITY_LIST, identities.list)
        self._bind(ops.IDENTITY_SIGN_IN, identities.begin_sign_in)
        self._bind(ops.IDENTITY_LOOK, identities.look_at_sign_in)
        self._bind(ops.IDENTITY_TEST, identities.test)
        self._bind(ops.IDENTITY_RESUME, identities.resume)
        self._bind(ops.IDENTITY_ROTATE, identities.rotate)
        self._bind(ops.IDENTITY_STEPS, identities.steps)

    def _bind_secrets(self, secrets: SecretService) -> None:
        self._bind(ops.SECRET_LIST, secrets.list)
        self._bind(ops.SECRET_SET, secrets.set)
        self._bind(ops.SECRET_REMOVE, secrets.remove)


class NodeService:
    """The node itself; refuses where none runs."""

    def __init__(self, node: NodeControl | None) -> None:
        self._node = node

    async def status(self, request: Nothing, by: str) -> NodeStatus | Refusal:
        """What the node is doing."""
        return NO_NODE if self._node is None else self._node.status()

    async def reload(self, request: Nothing, by: str) -> Reloaded | Refusal:
        """Read everything again."""
        return NO_NODE if self._node is None else await self._node.reload(by=by)


class SecretService:
    """Secrets behind ``secret:NAME``. They go in and never come out here."""

    def __init__(self, store: Store, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._store, self._sealer, self._clock = store, sealer, clock

    async def list(self, request: Nothing, by: str) -> SecretViews:
        """Names and the times of their last change."""
        # What identities keep for themselves has names that nobody can refer to.
        names = [(name, at) for name, at in await self._store.secret_names() if _SECRET_NAME.fullmatch(name)]
        return SecretViews(tuple(SecretView(name=name, changed_at=at) for name, at in sorted(names)))

    async def set(self, request: NewSecret, by: str) -> Nothing | Refusal:
        """Encrypt and keep, in place of an older one."""
        if not _SECRET_NAME.fullmatch(request.name):
            return Refusal(code="invalid", message="a secret's name has letters, digits, dots, underscores and hyphens")
        if not request.value or len(request.value) > _MAX_SECRET:
            return Refusal(code="invalid", message=f"a secret has from 1 to {_MAX_SECRET:,} characters")
        sealed = self._sealer.seal(request.value.encode(), f"secret:{request.name}")
        await self._store.save_secret(request.name, sealed, self._clock())
        return Nothing()

    async def remove(self, request: Named, by: str) -> Nothing | Refusal:
        """Forget."""
        if await self._store.remove_secret(request.name):
            return Nothing()
        return Refusal(code="not_found", message=f"there is no secret {request.name[:100]!r}")


async def _submit(intake: LocalIntake, envelope: SubmissionEnvelope, content: bytes, by: str) -> Submitted | Refusal:
    if not envelope.recipients or len(envelope.recipients) > MAX_RECIPIENTS:
        return Refusal(code="invalid", message=f"a message needs from 1 to {MAX_RECIPIENTS:,} recipients")
    if not content:
        return Refusal(code="invalid", message="the message is empty")
    try:
        sender = Address.parse(envelope.sender) if envelope.sender else None
        recipients = [Address.parse(text) for text in dict.fromkeys(envelope.recipients)]
    except AddressError as error:
        return Refusal(code="invalid", message=str(error))
    taken = await intake.submit(sender=sender, recipients=recipients, content=content, user=by)
    if isinstance(taken, NotTaken):
        return Refusal(code="unavailable" if taken.temporary else "invalid", message=taken.reason)
    return Submitted(show_message_id(taken))
