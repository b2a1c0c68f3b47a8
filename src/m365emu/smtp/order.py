"""The order of commands, as a table.

Purpose: say for each verb in which state of the session it is refused, and with which words. Source: RFC 5321
4.1.4; the sentences are Exchange's. Shape: `ORDER` by verb, then by `State`; what is not in the table is allowed.
Leaves to others: moving from state to state (`smtp.session`, `smtp.transaction`).
"""

from enum import Enum, auto

from m365emu import replies
from m365emu.replies import Reply


class State(Enum):
    """How far the order of commands has come."""

    CONNECTED = auto()
    GREETED = auto()
    MAIL = auto()
    RCPT = auto()
    CHUNKS = auto()


_BUSY = dict.fromkeys((State.MAIL, State.RCPT, State.CHUNKS), replies.BAD_SEQUENCE)
_NO_SENDER = {State.CONNECTED: replies.HELLO_FIRST, State.GREETED: replies.NEED_MAIL}

ORDER: dict[str, dict[State, Reply]] = {
    "EHLO": {},
    "HELO": {},
    "NOOP": {},
    "RSET": {},
    "HELP": {},
    "VRFY": {},
    "EXPN": {},
    "QUIT": {},
    "STARTTLS": {State.CONNECTED: replies.HELLO_FIRST, **_BUSY},
    "AUTH": {State.CONNECTED: replies.HELLO_FIRST, **_BUSY},
    "MAIL": {
        State.CONNECTED: replies.HELLO_FIRST,
        State.MAIL: replies.SENDER_SPECIFIED,
        State.RCPT: replies.SENDER_SPECIFIED,
        State.CHUNKS: replies.BAD_SEQUENCE,
    },
    "RCPT": {**_NO_SENDER, State.CHUNKS: replies.BAD_SEQUENCE},
    "DATA": {**_NO_SENDER, State.MAIL: replies.NEED_RCPT, State.CHUNKS: replies.BAD_SEQUENCE},
    "BDAT": {**_NO_SENDER, State.MAIL: replies.NEED_RCPT},
}
"""For each verb the states in which it is refused, and with what; in all others it is allowed."""
