"""The duties of a node: room, expiry, retention, budgets, lost answers, returned reports, identities.

Shape: `build_sweep` puts them together, each with its interval; ``queue.sweep`` runs them.
Leaves to others: what each duty does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from posthouse.decide.ways import Way
from posthouse.deliver.graph.returns import LOOK_EVERY, Returns
from posthouse.deliver.graph.verify import GraphClients, GraphVerifier
from posthouse.deliver.identities import Identities
from posthouse.deliver.identity_duties import PERIOD
from posthouse.operate.configuration import NodeSettings
from posthouse.queue.budget import Budgets
from posthouse.queue.dispatch import Dispatcher
from posthouse.queue.guard import Guard
from posthouse.queue.settings import Cadence
from posthouse.queue.settle import Settler
from posthouse.queue.sweep import Sweep
from posthouse.queue.verify import Verification
from posthouse.store.port import Store


def build_sweep(
    node: NodeSettings,
    *,
    store: Store,
    settler: Settler,
    guard: Guard,
    dispatcher: Dispatcher,
    budgets: Budgets,
    identities: Identities,
    graph: GraphClients,
    ways: Callable[[], Mapping[str, Way]],
    clock: Callable[[], datetime],
    cadence: Cadence,
) -> Sweep:
    """All duties of one node.

    Args:
        graph: Clients for looking into mailboxes and the message trace; the caller closes them.
        ways: The ways out of the present flow.
    """
    verification = Verification(
        store,
        settler,
        GraphVerifier(graph),
        way_named=lambda name: ways().get(name),
        clock=clock,
        wake=dispatcher.wake,
    )
    returns = Returns(store, graph, ways=lambda: ways().values(), clock=clock)
    return Sweep(
        store,
        settler,
        guard,
        node.queue,
        clock=clock,
        wake=dispatcher.wake,
        in_hand=dispatcher.in_hand,
        keep_content=node.trace.keep_content,
        keep_trace=node.trace.keep,
        cadence=cadence,
        duties=(
            (cadence.retire, budgets.forget_old),
            (cadence.verify, verification.look),
            (LOOK_EVERY, returns.look),
            (PERIOD.total_seconds(), identities.duties.do),
        ),
    )
