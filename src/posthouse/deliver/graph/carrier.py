"""Send by Microsoft Graph."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.decide.ways import Way
from posthouse.deliver.carrier import Carrier
from posthouse.deliver.patience import Patience
from posthouse.deliver.tokens import TokenSource
from posthouse.mail.message import Message, Waiting
from posthouse.mail.outcome import AttemptResult


class GraphCarrier(Carrier):
    """One ``graph`` connector at work."""

    def __init__(self, way: Way, tokens: TokenSource, patience: Patience) -> None:
        super().__init__(way)
        self._tokens = tokens
        self._patience = patience

    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
