"""All that concerns the identities of one installation, connected: for the node, and for commands without one.

Shape: `open_identities` builds tokens, sign-ins, expiry, rotation and the daily duties over one vault.
Failures: none; nothing is opened.
Leaves to others: who asks (``operate.identity_service``), when duties are done (``service``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from posthouse.decide.flow import Flow
from posthouse.deliver.expiry import Expiry, ExpiryWatch
from posthouse.deliver.identity_duties import IdentityDuties
from posthouse.deliver.rotation import Rotation
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.sign_in import SignInDesk
from posthouse.deliver.tokens import TokenSource
from posthouse.deliver.vault import SealedVault
from posthouse.store.port import Store
from posthouse.store.sealing import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """What works on identities.

    Attributes:
        flow: The mail flow in use, paths in it absolute.
    """

    flow: Callable[[], Flow]
    tokens: TokenSource
    sign_in: SignInDesk
    watch: ExpiryWatch
    rotation: Rotation
    duties: IdentityDuties


def open_identities(
    *,
    flow: Callable[[], Flow],
    store: Store,
    sealer: Sealer,
    secrets: SecretOpener,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
    on_warning: Callable[[Expiry], None] = lambda expiry: None,
) -> Identities:
    """Build all of it.

    Args:
        flow: The mail flow in use.
        secrets: Opens references of the flow.
        on_warning: Told before a credential ends.
    """

    vault = SealedVault(store, sealer, clock)
    tokens = TokenSource(secrets, monotonic=monotonic, vault=vault, clock=clock)
    watch = ExpiryWatch(
        flow=flow,
        tokens=tokens,
        secrets=secrets,
        vault=vault,
        clock=clock,
        record=store.record,
        on_warning=on_warning,
    )
    rotation = Rotation(tokens, secrets, clock)
    return Identities(
        flow=flow,
        tokens=tokens,
        sign_in=SignInDesk(tokens, secrets, sealer, clock),
        watch=watch,
        rotation=rotation,
        duties=IdentityDuties(flow=flow, tokens=tokens, watch=watch, rotation=rotation),
    )
