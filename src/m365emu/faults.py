"""Faults on order: the next so many commands at one stage go wrong.

Purpose: let a test make the service refuse, or vanish, at a chosen moment. Shape: `Fault` is a value; `Faults`
is the list that sessions ask. Failures: `ValueError` for a reply that could not stand on the wire.
Leaves to others: carrying a fault out (`smtp.session`, `authority`).
"""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from m365emu.replies import Reply

Stage = Literal["connect", "hello", "starttls", "auth", "mail", "rcpt", "data", "end-of-data", "token"]
"""Where a fault strikes; `token` is the token endpoint, the others are the submission host."""

_REPLY = re.compile(r"([45]\d\d) ([ -~]{1,1900})")


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order.

    Attributes:
        stage: where it strikes.
        reply: what is said, for example `451 4.7.0 Temporary server error`; without it the connection is dropped.
        keep: at `end-of-data` without a reply: keep the message first, so the sender cannot know.
        close: end the connection after the reply.
        count: how many times.
        mailbox: only for this authenticated mailbox; without it for everybody.
    """

    stage: Stage
    reply: str | None = None
    keep: bool = False
    close: bool = False
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    mailbox: str | None = None

    def as_reply(self) -> Reply | None:
        """Return the reply to say, or `None` when the connection is to be dropped."""
        if self.reply is None:
            return None
        match = _REPLY.fullmatch(self.reply)
        if match is None:
            raise ValueError("reply must be three digits beginning with 4 or 5, a blank, and a printable text")
        return Reply(code=int(match[1]), lines=(match[2],), reason="fault", closes=self.close)


class Faults:
    """The faults on order, oldest first."""

    def __init__(self) -> None:
        self._orders: list[tuple[Fault, int]] = []

    def order(self, fault: Fault) -> None:
        """Add a fault; raises `ValueError` when its reply cannot be said."""
        fault.as_reply()
        self._orders.append((fault, fault.count))

    def take(self, stage: Stage, mailbox: str | None) -> Fault | None:
        """Return the fault that strikes here, if one does, and count it off."""
        for place, (fault, left) in enumerate(self._orders):
            if fault.stage == stage and fault.mailbox in (None, mailbox):
                if left > 1:
                    self._orders[place] = (fault, left - 1)
                else:
                    del self._orders[place]
                return fault
        return None

    def clear(self) -> None:
        """Call everything off."""
        self._orders.clear()
