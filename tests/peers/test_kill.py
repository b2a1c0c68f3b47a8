"""SIGKILL under load: whatever was answered 250 is delivered, bounced or still waiting; nothing else is allowed.

The client counts what was taken, the next hop counts what arrived. After every kill the node starts again on the same
directory. A message may arrive twice only when the kill fell between the next hop's 250 and the record of it, so
there are at most as many doubles as connections that were delivering, for each kill.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

from tests.peers.conftest import NodeMaker
from tests.peers.load import Load
from tests.peers.node import Node
from tests.peers.programs import wait_until
from tests.peers.sink import Arrival, Faults, Sink

KILLS = 6
DELIVERING = 20
SOON = {"retry": [{"times": 1000, "every": "1s"}], "jitter_percent": 0}


def marks(arrivals: list[Arrival]) -> Counter[str]:
    """How often each message arrived, bounces not counted."""
    found = [re.search(rb"^Subject: (load-\S+)\r$", a.content, re.MULTILINE) for a in arrivals if a.sender]
    return Counter(match[1].decode() for match in found if match)


def kill_under_load(node: Node, label: str, rng: random.Random, recipients: tuple[str, ...]) -> Load:
    """One life of the node: start, load, SIGKILL at a random moment."""
    node.start()
    load = Load(port=node.port, label=label, recipients=recipients).start()
    load.wait_for(rng.randint(1, 400))
    node.kill()
    return load.stop()


def test_nothing_accepted_is_lost_by_kill_minus_nine(make_node: NodeMaker, make_sink: Callable[[Sink], Sink]) -> None:
    sink = make_sink(Sink())
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.edit_outbound(max_connections=DELIVERING)
    taken: set[str] = set()
    unanswered: set[str] = set()
    for seed in range(KILLS):
        load = kill_under_load(node, f"load-{seed}", random.Random(seed), ("office@example.net",))
        taken |= load.taken
        unanswered |= load.unanswered
    node.start()
    node.wait_for_empty_queue(60)
    arrived = marks(sink.arrivals)
    assert taken - arrived.keys() == set(), "accepted and neither delivered nor waiting"
    assert arrived.keys() - taken - unanswered == set(), "delivered without ever being handed in"
    doubles = sum(arrived.values()) - len(arrived)
    assert doubles <= KILLS * DELIVERING, f"{doubles} doubles after {KILLS} kills"
    assert node.stop() == 0


def test_accepted_is_delivered_plus_bounced_plus_open_after_a_kill(
    make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    faults = Faults(
        recipients={"gone@example.net": "550 5.1.1 Nobody here", "full@example.net": "452 4.2.2 Mailbox full"}
    )
    sink = make_sink(Sink(faults=faults))
    node = make_node(sink.port)
    everyone = ("office@example.net", "gone@example.net", "full@example.net")
    load = kill_under_load(node, "load-all", random.Random(7), everyone)
    node.start()
    wait_until(lambda: load.taken <= marks(sink.arrivals).keys(), 30, "all delivered")
    wait_until(lambda: load.taken <= bounced(sink.arrivals), 30, "all bounced")
    count = len(load.taken | (load.unanswered & marks(sink.arrivals).keys()))
    wait_until(
        lambda: len(open_copies(node)) == count, 30, lambda: f"{count} copies open, {len(open_copies(node))} seen"
    )


def bounced(arrivals: list[Arrival]) -> set[str]:
    """The messages that a bounce told of."""
    found = [re.search(rb"load-all-\d+-\d+", arrival.content) for arrival in arrivals if not arrival.sender]
    return {match[0].decode() for match in found if match}


def open_copies(node: Node) -> list[object]:
    """The waiting copies for the full mailbox."""
    return [row for row in node.queue() if "full@example.net" in str(row)]


def test_a_stopped_node_finishes_its_work_and_leaves_nothing_leased(
    make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    sink = make_sink(Sink())
    node = make_node(sink.port).start()
    load = Load(port=node.port).start()
    load.wait_for(50)
    assert node.stop() == 0
    load.stop()
    node.start()
    node.wait_for_empty_queue()
    arrived = marks(sink.arrivals)
    assert load.taken <= arrived.keys()
    assert set(arrived.values()) == {1}, "an orderly stop sends nothing twice"
