"""The dialogue of the submission host and of the MX, whole, without any I/O.

Purpose: bytes in, bytes out, as smtp.office365.com and `*.mail.protection.outlook.com` have it. Source: RFC 5321,
3030, 3207, 3461, 4954; recorded dialogues of both; Exchange's texts for protocol errors.
Shape: `receive` takes octets, `take_output` gives octets, `want` says what the driver shall do next: read,
start TLS, wait until `wait_until` and call `resume`, or close.
Failures: none rise; everything a client can do ends in a reply. Leaves to others: the order of commands
(`smtp.order`), decisions (`smtp.desk`), the network (`smtp.connection`), the message from MAIL on
(`smtp.transaction`).
"""

from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto

from m365emu import replies
from m365emu.directory import Principal
from m365emu.faults import Fault, Stage
from m365emu.hosts import FrontEnd
from m365emu.replies import Reply
from m365emu.smtp.commands import LONGEST_LINE, Command, is_hello_name, read_command
from m365emu.smtp.desk import Desk, LogonRefused, Tls, Visit
from m365emu.smtp.order import ORDER, State
from m365emu.smtp.sasl import Exchange, RefusalExchange, Step, exchange_for
from m365emu.smtp.transaction import Transaction
from m365emu.transcript import Transcript


class Want(Enum):
    """What the session needs from its driver."""

    READ = auto()
    UPGRADE = auto()
    WAIT = auto()
    CLOSE = auto()


_COUNTED_AS_PROTOCOL_ERROR = ("syntax", "sequence", "auth_type")


class Session:
    """One connection's dialogue."""

    def __init__(self, desk: Desk, front: FrontEnd, client: str) -> None:
        """Begin a session of `client`, an address in text form, with a front end."""
        self.desk = desk
        self.front = front
        self.client = client
        self.hello = ""
        self.transcript = Transcript()
        self.want = Want.READ
        self.wait_until: datetime | None = None
        self.state = State.CONNECTED
        self.tls: Tls | None = None
        self.principal: Principal | None = None
        self.claimed = ""
        self._input = bytearray()
        self._output = bytearray()
        self._skipping_line = False
        self._exchange: Exchange | None = None
        self._refused_logon: Reply | None = None
        self._protocol_errors = 0
        self._logon_failures = 0
        self._transaction = Transaction(self)
        self._verbs: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._transaction.mail,
            "RCPT": self._transaction.rcpt,
            "DATA": self._transaction.data,
            "BDAT": self._transaction.bdat,
            "RSET": self._rset,
            "NOOP": lambda _: self.say(replies.OK),
            "HELP": lambda _: self.say(replies.HELP),
            "VRFY": lambda _: self.say(replies.CANNOT_VERIFY),
            "EXPN": lambda _: self.say(replies.NOT_IMPLEMENTED),
            "QUIT": lambda _: self.say(replies.CLOSING),
        }

    # What the driver calls.

    def open(self) -> None:
        """Say the greeting."""
        if not self.strike("connect"):
            self.say(replies.greeting(self.front, self.desk.now()))

    def receive(self, data: bytes | memoryview) -> None:
        """Take octets that arrived."""
        self._input += data
        self._advance()

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def secured(self, tls: Tls) -> None:
        """Go on after the handshake; the client must greet again."""
        self.tls = tls
        self.transcript.note(f"{tls.version} {tls.cipher}")
        if tls.peer_note:
            self.transcript.note(tls.peer_note)
        self.state = State.CONNECTED
        self.want = Want.READ

    def resume(self) -> None:
        """Go on when `wait_until` has come."""
        if self.want is Want.WAIT:
            self.want = Want.READ
            self._transaction.keep()
            self._advance()

    def refuse(self, reply: Reply) -> None:
        """Say a closing reply of the server's own accord: too many, idle, stopping."""
        self.say(reply)
        self.lost()

    def lost(self) -> None:
        """The connection is gone, or is to go."""
        self.want = Want.CLOSE
        self._transaction.clear()

    # What the transaction shares.

    @property
    def visit(self) -> Visit:
        """The session as it stands, for those who decide."""
        return Visit(
            front=self.front,
            client=self.client,
            hello=self.hello,
            tls=self.tls,
            principal=self.principal,
            transcript=self.transcript,
        )

    def say(self, reply: Reply) -> None:
        """Send a reply, count it, and close after too many errors."""
        self._output += reply.to_bytes()
        for line in reply.wire_lines():
            self.transcript.server(line)
        self.desk.count(reply)
        limits = self.desk.limits
        self._protocol_errors += reply.reason in _COUNTED_AS_PROTOCOL_ERROR
        self._logon_failures += reply.code == 535
        if reply.closes:
            self.lost()
        elif self._protocol_errors >= limits.protocol_errors or self._logon_failures >= limits.logon_failures:
            self.say(replies.TOO_MANY_ERRORS)

    def strike(self, stage: Stage) -> bool:
        """Carry out a fault on order for this stage, and say whether there was one."""
        fault = self.ordered_fault(stage)
        if fault is not None:
            self.carry_out(fault)
        return fault is not None

    def ordered_fault(self, stage: Stage) -> Fault | None:
        """Return the fault on order for this stage, if any."""
        return self.desk.fault(stage, self.principal.mailbox if self.principal else None)

    def wait(self, until: datetime) -> None:
        """Stand still until a moment; the message under way is taken then."""
        self.transcript.note(f"the reply is held back until {until.isoformat(timespec='seconds')}")
        self.wait_until = until
        self.want = Want.WAIT

    def carry_out(self, fault: Fault) -> None:
        """Say a fault's reply, or drop the connection."""
        reply = fault.as_reply()
        if reply is not None:
            self.say(reply)
        else:
            self.transcript.note("connection dropped on order")
            self.lost()

    # Lines.

    def _advance(self) -> None:
        while self.want is Want.READ and self._step():
            pass

    def _step(self) -> bool:
        """Use up some input; say whether there may be more to do."""
        if self._transaction.takes_content:
            if not self._input:
                return False
            data = bytes(self._input)
            self._input.clear()
            self._input[:0] = self._transaction.take(data)
            return True
        return self._take_line()

    def _take_line(self) -> bool:
        end = self._input.find(b"\r\n")
        if end < 0:
            if len(self._input) > LONGEST_LINE:
                self._skipping_line = True
                del self._input[:-1]
            return False
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        if self._skipping_line or len(line) > LONGEST_LINE:
            self._skipping_line = False
            self._exchange = None
            self.transcript.client("(a line that is too long)")
            self.say(replies.TOO_LONG)
        elif self._exchange is not None:
            self._auth_answer(self._exchange, line)
        else:
            self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        command = read_command(line)
        if isinstance(command, Reply):
            self.transcript.client(f"({len(line)} octets that are no command)")
            self.say(command)
            return
        self.transcript.client(_shown(command))
        refusals = ORDER.get(command.verb)
        if refusals is None:
            self.say(replies.UNRECOGNIZED)
            return
        refusal = refusals.get(self.state)
        if refusal is not None and command.verb == "BDAT":
            self._transaction.swallow_chunk(command.argument, refusal)
        elif refusal is not None:
            self.say(refusal)
        else:
            self._verbs[command.verb](command.argument)

    # Verbs outside of a transaction.

    def _ehlo(self, argument: str) -> None:
        self._hello(argument, replies.EHLO_NEEDS_DOMAIN, extended=True)

    def _helo(self, argument: str) -> None:
        self._hello(argument, replies.HELO_NEEDS_DOMAIN, extended=False)

    def _hello(self, argument: str, missing: Reply, *, extended: bool) -> None:
        if not is_hello_name(argument):
            self.say(replies.INVALID_DOMAIN if argument else missing)
            return
        if self.strike("hello"):
            return
        self._transaction.clear()
        self.state, self.hello = State.GREETED, argument
        if not extended:
            self.say(replies.hello(self.front, self.client))
            return
        octets, encrypted = self.desk.limits.advertised_octets, self.tls is not None
        self.say(replies.extended_hello(self.front, self.client, octets=octets, encrypted=encrypted))

    def _rset(self, argument: str) -> None:
        self._transaction.clear()
        if self.state is not State.CONNECTED:
            self.state = State.GREETED
        self.say(replies.RESETTING)

    def _starttls(self, argument: str) -> None:
        if self.tls is not None:
            self.say(replies.ONE_STARTTLS)
        elif argument:
            self.say(replies.INVALID_ARGUMENTS)
        elif not self.strike("starttls"):
            self.say(replies.READY_FOR_TLS)
            if self.want is Want.READ:
                # Clear text that came along with STARTTLS must not count as if it had been protected.
                self._input.clear()
                self.want = Want.UPGRADE

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        exchange = exchange_for(mechanism.upper())
        if self.principal is not None:
            self.say(replies.ONE_AUTH)
        elif not mechanism:
            self.say(replies.ARGUMENTS_MISSING)
        elif self.tls is None or exchange is None or not self.desk.takes_logons:
            self.say(replies.unrecognized_authentication(self.front, self.desk.now()))
        elif self.tls.is_old and not self.desk.allows_old_tls(self.tls):
            self.say(replies.tls_too_old(self.front, self.desk.now()))
        elif not self.strike("auth"):
            self._auth_step(exchange, exchange.start(initial.encode() if initial else None))

    def _auth_answer(self, exchange: Exchange, line: bytes) -> None:
        self._exchange = None
        if line == b"*":
            self.transcript.client("*")
            self.say(replies.AUTH_CANCELLED)
            return
        self.transcript.client("****")
        self._auth_step(exchange, exchange.answer(line))

    def _auth_step(self, exchange: Exchange, step: Step) -> None:
        if isinstance(step, Reply):
            self._exchange = exchange if step.code == 334 else None
            self.say(step)
            return
        if step is None:
            reply = replies.authentication_unsuccessful(self.front, self.desk.now())
            result: Principal | LogonRefused = LogonRefused(reply=reply, note="the response cannot be decoded")
        else:
            self.claimed = step.user
            result = self.desk.log_on(step, self.visit)
        if isinstance(result, LogonRefused):
            self._refused_logon = result.reply
            self.transcript.note(result.note)
            if result.challenge is not None:
                self._exchange = RefusalExchange(result.reply)
            self.say(result.challenge or result.reply)
        else:
            self.principal = result
            self.say(replies.AUTHENTICATED)

    def not_authenticated(self) -> Reply:
        """Return the refusal of MAIL without a logon, with the earlier refusal of AUTH inside."""
        return replies.not_authenticated(self.front, self.desk.now(), self._refused_logon)


def _shown(command: Command) -> str:
    """Return the command as the transcript may show it, without anything that could be a secret."""
    if command.verb == "AUTH":
        mechanism, _, initial = command.argument.partition(" ")
        return f"AUTH {mechanism[:20]}{' ****' if initial else ''}".rstrip()
    if command.verb not in ORDER:
        return f"{command.verb[:4]}... (not a command)"
    return f"{command.verb} {command.argument}".rstrip()
