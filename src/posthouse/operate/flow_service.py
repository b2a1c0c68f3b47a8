"""Revisions of the mail flow: show, history, put into use.

Shape: flow.toml is what the operator writes, the store's revisions are what was in use; `apply` makes the two equal and
tells the running node. The file is written first: if the node ended in between, its next start finds the new text.
Failures: `Refusal` for a flow with errors, and where somebody else applied another one in the meantime.
Leaves to others: judging the text (``posthouse.config``), taking it into use (`NodeControl`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from posthouse.operate.account_shapes import FlowApplied, FlowApply, RevisionRequest, RevisionView, RevisionViews
from posthouse.operate.flow_file import write_file
from posthouse.operate.port import NodeControl
from posthouse.operate.problem import Problem
from posthouse.operate.shapes import Nothing, Refusal
from posthouse.store.port import FlowRevision, Store, StoreUnavailable

HISTORY_ROWS = 200


class FlowService:
    """The mail flow and its revisions."""

    def __init__(
        self,
        store: Store,
        flow_file: Path,
        judge: Callable[[str], Sequence[Problem]],
        node: NodeControl | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._file, self._judge, self._node, self._clock = store, flow_file, judge, node, clock

    async def show(self, request: RevisionRequest, by: str) -> RevisionView | Refusal:
        """One revision, the newest where none is named."""
        revision = await self._store.flow(request.number)
        if revision is None:
            which = (
                "no flow has been applied yet" if request.number is None else f"there is no revision {request.number}"
            )
            return Refusal(code="not_found", message=which)
        return _view(revision, revision.text)

    async def history(self, request: Nothing, by: str) -> RevisionViews:
        """Revisions without their text, newest first."""
        return RevisionViews(tuple(_view(revision) for revision in await self._store.flow_history(HISTORY_ROWS)))

    async def apply(self, request: FlowApply, by: str) -> FlowApplied | Refusal:
        """Judge, write the file, store a revision, tell the node."""
        found = self._judge(request.text)
        errors = tuple(str(problem) for problem in found if problem.severity == "error")
        if errors:
            return Refusal(code="invalid", message="the flow has errors; nothing was changed", details=errors)
        newest = await self._store.flow()
        if request.base is not None and newest is not None and newest.number != request.base:
            return Refusal(
                code="conflict",
                message=f"revision {newest.number} was applied by {newest.by} in the meantime; nothing was changed",
            )
        written = self._write(request.text)
        if isinstance(written, Refusal):
            return written
        number, changed = newest.number if newest else 0, newest is None or newest.text != request.text
        if changed:
            try:
                saved = await self._store.save_flow(request.text, by=by, comment=request.comment, at=self._clock())
            except StoreUnavailable:
                if written is not None:
                    write_file(self._file, written)
                raise
            number = saved.number
        warnings = tuple(str(problem) for problem in found)
        if self._node is None:
            return FlowApplied(number=number, changed=changed, in_use=False, warnings=warnings)
        taken = await self._node.reload(by=by)
        if taken.problems:
            return Refusal(
                code="failed",
                message=f"revision {number} is stored, but the node could not take it into use",
                details=taken.problems,
            )
        return FlowApplied(number=number, changed=changed, in_use=True, warnings=warnings)

    def _write(self, text: str) -> str | Refusal | None:
        """Make the file say `text`; the old text where it said something else."""
        try:
            old = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
            if old == text:
                return None
            write_file(self._file, text)
        except OSError as error:
            return Refusal(
                code="failed", message=f"{self._file} cannot be written: {error.strerror}; nothing was changed"
            )
        return old


def _view(revision: FlowRevision, text: str = "") -> RevisionView:
    return RevisionView(number=revision.number, at=revision.at, by=revision.by, comment=revision.comment, text=text)
