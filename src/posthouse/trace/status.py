"""The words for states that people know from Exchange's message trace.

Source: Microsoft, Get-MessageTraceV2, output Status: Delivered, Failed, Pending, Expanded, Quarantined and others.
Shape: `status_word` names a state, `states_of` reads a word that somebody typed.
Failures: none; an unknown word means no state.

Where Exchange has a word, it is used: what waits or is under way is Pending, and what ended without delivery for a
technical reason is Failed, an expired message included, as Exchange shows it. Held, Unknown, Cancelled and Discarded
are ours: Exchange has no state in which a person must decide, and what a person or a rule ended on purpose is no
failure.
"""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.mail.message import RecipientState

WORDS: Mapping[RecipientState, str] = {
    RecipientState.PENDING: "Pending",
    RecipientState.LEASED: "Pending",
    RecipientState.HELD: "Held",
    RecipientState.UNKNOWN: "Unknown",
    RecipientState.DELIVERED: "Delivered",
    RecipientState.FAILED: "Failed",
    RecipientState.EXPIRED: "Failed",
    RecipientState.CANCELLED: "Cancelled",
    RecipientState.DISCARDED: "Discarded",
}
STATUSES = tuple(dict.fromkeys(WORDS.values()))
"""All words, in the order in which a message meets them."""


def status_word(state: RecipientState) -> str:
    """The word for a state."""
    return WORDS[state]


def states_of(word: str) -> tuple[RecipientState, ...]:
    """States that a word means, case does not matter; a state's own name works as well."""
    wanted = word.strip().lower()
    by_word = tuple(state for state, shown in WORDS.items() if shown.lower() == wanted)
    return by_word or tuple(state for state in RecipientState if state.value == wanted)
