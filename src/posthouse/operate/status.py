"""The words for states that people know from Exchange's message trace.

Source: Get-MessageTraceV2, Status: Delivered, Failed, Pending, and so on; Held, Unknown and Cancelled are ours.
Shape: `status_word` for one state, `states_of` for a word that somebody typed.
"""

from __future__ import annotations

from posthouse.mail.message import RecipientState

_WORDS = {
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
STATUSES = tuple(dict.fromkeys(_WORDS.values()))


def status_word(state: RecipientState) -> str:
    """``Pending`` for pending and leased, ``Failed`` for failed and expired, else the state's own word."""
    return _WORDS[state]


def states_of(word: str) -> tuple[RecipientState, ...]:
    """States that a status word means; a state's own name works as well. Empty for an unknown word."""
    wanted = word.strip().lower()
    by_word = tuple(state for state, shown in _WORDS.items() if shown.lower() == wanted)
    return by_word or tuple(state for state in RecipientState if state.value == wanted)
