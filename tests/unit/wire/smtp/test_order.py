"""The table of commands agrees with those who obey it."""

from __future__ import annotations

from posthouse.mail.reply import Reply
from posthouse.wire.smtp.obey import HANDLERS
from posthouse.wire.smtp.order import ORDER, State

TALKING = (State.GREETED, State.READY, State.SENDER, State.RECIPIENTS, State.CHUNKS)


def test_every_verb_has_a_step_in_every_state_in_which_commands_are_read() -> None:
    assert {state for state, _ in ORDER} == set(TALKING)
    for state in TALKING:
        assert {verb for where, verb in ORDER if where is state} == set(HANDLERS)


def test_a_refusal_in_the_table_is_permanent() -> None:
    assert all(step.is_permanent for step in ORDER.values() if isinstance(step, Reply))


def test_no_message_begins_without_a_hello_a_sender_and_a_recipient() -> None:
    starts = {state for (state, verb), step in ORDER.items() if verb in ("DATA", "BDAT") and isinstance(step, State)}
    assert starts == {State.RECIPIENTS, State.CHUNKS}
    assert isinstance(ORDER[State.GREETED, "MAIL"], Reply)


def test_tls_and_log_in_never_begin_in_a_transaction() -> None:
    for verb in ("STARTTLS", "AUTH"):
        assert [state for state in TALKING if isinstance(ORDER[state, verb], State)] == [State.READY]
