"""A fault at each stage of a session, over a real socket, and what it means."""

from __future__ import annotations

import pytest
from tests.unit.deliver.jobs import CONTENT, MakeWorker, job, message, one, smarthost
from tests.unit.deliver.scripted import Answer, Fault, Half, Script, ScriptedServer

from posthouse.mail.outcome import Deferred, Delivered, Failed, Scope, Unknown

LONG = b"554 5.2.252 SendAsDenied; " + b"1.84300:0A000000, " * 130 + b"[Hostname=x]\r\n"


async def test_a_message_arrives_octet_for_octet(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        result = await one(make_worker(), smarthost(server.port))
    assert isinstance(result.outcome, Delivered)
    assert result.remote == f"127.0.0.1 [127.0.0.1]:{server.port}"
    assert result.connector == "relay"
    assert str(result.detail["local"]).startswith("127.0.0.1:")
    assert isinstance(result.detail["duration_ms"], int)
    ((sender, recipients, content),) = server.messages
    assert sender == f"MAIL FROM:<a@x.example> SIZE={len(CONTENT)}"
    assert recipients == ["<b@y.example>"]
    assert content == CONTENT


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")], ids=str)
async def test_every_way_to_send_carries_the_same_octets(make_worker: MakeWorker, keywords: tuple[str, ...]) -> None:
    async with ScriptedServer(Script(keywords=keywords)) as server:
        worker = make_worker()
        for _ in range(3):
            assert isinstance((await one(worker, smarthost(server.port))).outcome, Delivered)
    assert [content for _, _, content in server.messages] == [CONTENT] * 3
    assert len(server.sessions) == 1


BEFORE_THE_SESSION = [
    ("drop before the greeting", Script(greeting=Fault.DROP)),
    ("reset before the greeting", Script(greeting=Fault.ABORT)),
    ("no greeting", Script(greeting=Fault.SILENCE)),
    ("half a greeting", Script(greeting=Half(b"220 mx"))),
    ("refused in the greeting", Script(greeting=b"554 5.7.1 Go away\r\n")),
    ("421 in the greeting", Script(greeting=b"421 4.3.2 Too many connections\r\n")),
    ("not SMTP", Script(greeting=b"HTTP/1.1 400 Bad Request\r\n")),
    ("drop at EHLO", Script(on={"EHLO": Fault.DROP})),
    ("EHLO and HELO refused", Script(on={"EHLO": b"550 no\r\n", "HELO": b"550 no\r\n"})),
    ("4xx at EHLO", Script(on={"EHLO": b"451 4.7.1 later\r\n"})),
    ("no answer to EHLO", Script(on={"EHLO": Fault.SILENCE})),
]


@pytest.mark.parametrize("script", [s for _, s in BEFORE_THE_SESSION], ids=[n for n, _ in BEFORE_THE_SESSION])
async def test_without_a_session_the_whole_hop_waits(make_worker: MakeWorker, script: Script) -> None:
    async with ScriptedServer(script) as server:
        outcome = (await one(make_worker(), smarthost(server.port))).outcome
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.HOP
    assert outcome.reason


async def test_a_refused_connection_makes_the_hop_wait(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        port = server.port
    outcome = (await one(make_worker(), smarthost(port))).outcome
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.HOP and outcome.is_glitch
    assert "refused" in outcome.reason


IN_THE_TRANSACTION: list[tuple[str, dict[str, Answer], type, Scope | None]] = [
    ("421 at MAIL", {"MAIL": b"421 4.3.2 closing\r\n"}, Deferred, Scope.HOP),
    ("4xx at MAIL", {"MAIL": b"451 4.7.1 greylisted\r\n"}, Deferred, Scope.MESSAGE),
    ("5xx at MAIL", {"MAIL": b"550 5.7.1 not you\r\n"}, Failed, None),
    ("STARTTLS wanted", {"MAIL": b"530 5.7.0 Must issue a STARTTLS command first\r\n"}, Deferred, Scope.HOP),
    ("log-in wanted", {"MAIL": b"530 5.7.57 Client not authenticated to send mail.\r\n"}, Deferred, Scope.HOP),
    ("drop at MAIL", {"MAIL": Fault.DROP}, Deferred, Scope.MESSAGE),
    ("4xx at RCPT", {"RCPT": b"450 4.2.1 later\r\n"}, Deferred, Scope.RECIPIENT),
    ("5xx at RCPT", {"RCPT": b"550 5.1.1 unknown\r\n"}, Failed, None),
    ("421 at RCPT", {"RCPT": b"421 4.3.2 closing\r\n"}, Deferred, Scope.HOP),
    ("drop at RCPT", {"RCPT": Fault.DROP}, Deferred, Scope.MESSAGE),
    ("no answer to RCPT", {"RCPT": Fault.SILENCE}, Deferred, Scope.MESSAGE),
    ("half an answer to RCPT", {"RCPT": Half(b"250")}, Deferred, Scope.MESSAGE),
    ("4xx at DATA", {"DATA": b"452 4.3.1 full\r\n"}, Deferred, Scope.MESSAGE),
    ("5xx at DATA", {"DATA": b"554 5.7.1 no\r\n"}, Failed, None),
    ("drop at DATA", {"DATA": Fault.DROP}, Deferred, Scope.MESSAGE),
    ("250 at DATA", {"DATA": b"250 2.0.0 Resetting\r\n"}, Deferred, Scope.MESSAGE),
    ("503 at DATA", {"DATA": b"503 5.5.1 Bad sequence\r\n"}, Deferred, Scope.MESSAGE),
    ("4xx at the content", {"CONTENT": b"451 4.3.0 later\r\n"}, Deferred, Scope.MESSAGE),
    (
        "432 at the content",
        {"CONTENT": b"432 4.3.2 Concurrent connections limit exceeded.\r\n"},
        Deferred,
        Scope.MAILBOX,
    ),
    ("5xx at the content", {"CONTENT": b"554 5.6.0 no\r\n"}, Failed, None),
    ("2 kB at the content", {"CONTENT": LONG}, Deferred, Scope.MESSAGE),
    ("421 at the content", {"CONTENT": b"421 4.3.0 closing\r\n"}, Deferred, Scope.HOP),
    ("drop after the final dot", {"CONTENT": Fault.DROP}, Unknown, None),
    ("reset after the final dot", {"CONTENT": Fault.ABORT}, Unknown, None),
    ("half an answer to the content", {"CONTENT": Half(b"250 2.0.0 Queu")}, Unknown, None),
    ("no answer to the content", {"CONTENT": Fault.SILENCE}, Unknown, None),
]


@pytest.mark.parametrize(
    ("on", "kind", "scope"), [c[1:] for c in IN_THE_TRANSACTION], ids=[c[0] for c in IN_THE_TRANSACTION]
)
@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)], ids=["one by one", "pipelined"])
async def test_what_a_fault_in_the_transaction_means(
    make_worker: MakeWorker, on: dict[str, Answer], kind: type, scope: Scope | None, keywords: tuple[str, ...]
) -> None:
    async with ScriptedServer(Script(on=on, keywords=keywords)) as server:
        result = await one(make_worker(), smarthost(server.port))
    assert isinstance(result.outcome, kind)
    if isinstance(result.outcome, Deferred):
        assert result.outcome.scope is scope
    assert result.remote


@pytest.mark.parametrize(("on_unknown", "retry"), [("retry", True), ("hold", False)])
async def test_the_connector_says_what_becomes_of_an_unknown_outcome(
    make_worker: MakeWorker, on_unknown: str, retry: bool
) -> None:
    async with ScriptedServer(Script(on={"CONTENT": Fault.DROP})) as server:
        outcome = (await one(make_worker(), smarthost(server.port, on_unknown=on_unknown))).outcome
    assert isinstance(outcome, Unknown)
    assert outcome.retry is retry


async def test_a_content_refused_half_way_counts_and_the_dump_is_left_out(make_worker: MakeWorker) -> None:
    refusal = b"552 5.3.4 Too large [BeginDiagnosticData]secrets of the server[EndDiagnosticData]\r\n"
    script = Script(keywords=("PIPELINING",), stops_reading_after=100_000, on={"CONTENT": refusal})
    async with ScriptedServer(script) as server:
        letter = message(content=b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" * 2_000_000)
        outcome = (await one(make_worker(), smarthost(server.port), letter)).outcome
    assert isinstance(outcome, Failed | Unknown)
    if isinstance(outcome, Failed):
        assert outcome.status == "5.3.4"
        assert outcome.reply is not None and outcome.reply.text == "Too large"


async def test_each_recipient_has_a_result_of_its_own(make_worker: MakeWorker) -> None:
    replies = {"b": b"250 Ok\r\n", "c": b"550 5.1.1 unknown\r\n", "d": b"450 4.2.1 later\r\n", "e": b"250 Ok\r\n"}
    script = Script(on={"RCPT": lambda text: replies[text[len("RCPT TO:<")]]})
    async with ScriptedServer(script) as server:
        letter = message([f"{name}@y.example" for name in replies])
        results = await make_worker().deliver(job(letter, smarthost(server.port)))
    kinds = [type(r.outcome).__name__ for r in results]
    assert kinds == ["Delivered", "Failed", "Deferred", "Delivered"]
    assert [r.index for r in results] == [0, 1, 2, 3]
    assert server.messages[0][1] == ["<b@y.example>", "<e@y.example>"]
