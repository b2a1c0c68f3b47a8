"""The search for mail that goes in circles.

Source: RFC 5321 6.3 (loop detection by Received fields), Exchange's MaxHopCount (default 30) and its reply 5.4.14.
Shape: `judge_hops` takes what the header says and answers with a verdict that names the hops.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Accept, Refuse, Verdict

LOOP = Reply.of(554, "5.4.14", "Hop count exceeded - possible mail loop")
MAX_OWN_VISITS = 3
"""A message may pass one node a few times for good reasons (a list, a rule that sends it back once), not more."""


def judge_hops(received: Sequence[str], own_visits: int, max_received: int) -> Verdict:
    """Decide whether a message is in a loop.

    Args:
        received: Names of the servers in its Received fields, newest first.
        own_visits: How many of these fields this node wrote.
        max_received: Most Received fields that are believed.

    Returns:
        `Accept`, or a `Refuse` whose reason names the way of the message.
    """
    if len(received) <= max_received and own_visits <= MAX_OWN_VISITS:
        return Accept()
    way = " <- ".join(received[:8]) + (f" <- ... ({len(received)} in all)" if len(received) > 8 else "")
    what = (
        f"this node handled the message {own_visits} times before"
        if own_visits > MAX_OWN_VISITS
        else f"{len(received)} Received fields, {max_received} are allowed"
    )
    return Refuse(LOOP, f"mail loop: {what}; way, newest first: {way}")
