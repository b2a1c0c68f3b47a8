"""What identities need every day: sign-ins kept alive, new certificates tried, ends watched.

Shape: `IdentityDuties.do` carries all of it out once; what fails for one identity is logged and tried again next time.
Failures: `StoreUnavailable` from the store.
Leaves to others: when (``service``), warnings (``deliver.expiry``), renewing (``deliver.tokens``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate, Entra, Password
from posthouse.decide.outbound import Graph
from posthouse.deliver.expiry import ExpiryWatch
from posthouse.deliver.rotation import Rotation, RotationProblem
from posthouse.deliver.tokens import Purpose, TokenSource

log = structlog.get_logger()

KEEP_ALIVE = timedelta(days=3)
"""A sign-in that was not used for so long is renewed, far ahead of its 90 days."""
PERIOD = timedelta(hours=12)
"""How often the duties are done; twice a day, so that a failed attempt costs half a day."""


def purposes_of(flow: Flow, name: str) -> tuple[Purpose, ...]:
    """What an identity's tokens are for, by the connectors that use it; SMTP where none says."""
    users = [c for c in flow.outbound if getattr(c, "identity", None) == name]
    found: set[Purpose] = {"graph" if isinstance(c, Graph) or c.kind in {"relay", "direct"} else "smtp" for c in users}
    return tuple(sorted(found, reverse=True)) or ("smtp",)


class IdentityDuties:
    """All duties of the node's identities."""

    def __init__(
        self, *, flow: Callable[[], Flow], tokens: TokenSource, watch: ExpiryWatch, rotation: Rotation
    ) -> None:
        self._flow, self._tokens, self._watch, self._rotation = flow, tokens, watch, rotation

    async def do(self) -> None:
        """Do everything once."""
        flow = self._flow()
        identities: tuple[Entra, ...] = tuple(i for i in flow.identity if not isinstance(i, Password))
        await self._tokens.keep_alive(identities, KEEP_ALIVE)
        for identity in identities:
            if isinstance(identity, Certificate) and self._rotation.is_pending(identity):
                done = await self._rotation.finish(identity, purposes_of(flow, identity.name)[0])
                if isinstance(done, RotationProblem):
                    log.info("identity.new_certificate_waits", identity=identity.name, reason=done.reason)
                else:
                    log.info("identity.certificate_replaced", identity=identity.name, ends_at=str(done.ends_at))
        await self._watch.look()
