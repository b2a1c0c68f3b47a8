"""Faults on order: chosen commands at one stage go wrong.

Purpose: let a test make the service refuse, or vanish, at a chosen moment. Shape: `Fault` is a value; `Faults`
is the list that sessions ask. Without `odds` nothing is left to chance, and with it the seed decides.
Failures: `ValueError` for a fault that makes no sense. Leaves to others: carrying a fault out (`smtp.session`,
`authority`, `graph`).
"""

import random
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from m365emu.replies import Reply

Stage = Literal[
    "connect",
    "hello",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "end-of-data",
    "token",
    "device-code",
    "graph",
    "graph-send",
    "graph-read",
]
"""Where a fault strikes: a step of an SMTP session, the token endpoint, the device-code endpoint, any request to
Graph, one that sends, or one that reads."""

Door = Literal["", "submission", "mx", "hve"]
"""Which SMTP host; empty means any."""

_REPLY = re.compile(r"([45]\d\d) ([ -~]{1,1900})")


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order.

    Attributes:
        stage: where it strikes.
        reply: what is said, for example `451 4.7.0 Temporary server error`, over HTTP a status and a text; without it
            the connection is dropped.
        keep: at `end-of-data` and `graph-send`: take the message first, so the sender cannot know.
        close: end the SMTP connection after the reply.
        retry_after_seconds: the header Retry-After of an answer over HTTP.
        count: how many times it strikes.
        skip: how many commands pass unharmed first.
        every: strikes every so many commands, from the first that is not skipped.
        odds: strikes by chance, so often out of one; needs a `seed`, and then always falls the same.
        mailbox: only for this authenticated mailbox; without it for everybody.
        application: only for this client id; without it for everybody.
        door: only at this SMTP host; empty for all.
    """

    stage: Stage
    reply: str | None = None
    keep: bool = False
    close: bool = False
    retry_after_seconds: Annotated[int, Meta(ge=0, le=86_400)] | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    every: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    odds: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    mailbox: str | None = None
    application: str | None = None
    door: Door = ""

    def as_reply(self) -> Reply | None:
        """Return the reply to say, or `None` when the connection is to be dropped."""
        if self.reply is None:
            return None
        match = _REPLY.fullmatch(self.reply)
        if match is None:
            raise ValueError("reply must be three digits beginning with 4 or 5, a blank, and a printable text")
        return Reply(code=int(match[1]), lines=(match[2],), reason="fault", closes=self.close)


@dataclass(slots=True, kw_only=True)
class _Order:
    """A fault with what is left of it."""

    fault: Fault
    left: int
    chance: random.Random
    seen: int = 0

    def strikes(self) -> bool:
        """Count one command, and say whether it is one that goes wrong."""
        place, self.seen = self.seen - self.fault.skip, self.seen + 1
        if place < 0 or place % self.fault.every:
            return False
        if self.fault.odds is not None and self.chance.random() >= self.fault.odds:
            return False
        self.left -= 1
        return True


class Faults:
    """The faults on order, oldest first."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []

    def order(self, fault: Fault) -> None:
        """Add a fault; raises `ValueError` when its reply cannot be said, or chance has no seed."""
        fault.as_reply()
        if fault.odds is not None and fault.seed is None:
            raise ValueError("odds need a seed")
        self._orders.append(_Order(fault=fault, left=fault.count, chance=random.Random(fault.seed)))

    def take(
        self, stage: Stage, mailbox: str | None = None, *, application: str | None = None, door: Door = ""
    ) -> Fault | None:
        """Return the fault that strikes here, if one does, and count it off."""
        for order in self._orders:
            fault = order.fault
            if (
                fault.stage == stage
                and fault.mailbox in (None, mailbox)
                and fault.application in (None, application)
                and fault.door in ("", door)
                and order.strikes()
            ):
                if not order.left:
                    self._orders.remove(order)
                return fault
        return None

    def on_order(self) -> list[tuple[Fault, int]]:
        """Return the faults that may still strike, each with how many times."""
        return [(order.fault, order.left) for order in self._orders]

    def clear(self) -> None:
        """Call everything off."""
        self._orders.clear()
