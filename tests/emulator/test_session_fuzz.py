"""Any octets, in any split: the session answers, stays bounded, and never raises."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.mx_talk import MxTalk
from tests.emulator.talk import b64, logged_on

from m365emu.emulator import Emulator
from m365emu.smtp.session import Want

LINES = [
    b"EHLO x",
    b"HELO x",
    b"MAIL FROM:<relay@contoso.example>",
    b"MAIL FROM:<relay@contoso.example> BODY=BINARYMIME SIZE=9",
    b"RCPT TO:<alice@contoso.example>",
    b"DATA",
    b".",
    b"BDAT 3",
    b"BDAT 5 LAST",
    b"BDAT 0 LAST",
    b"RSET",
    b"STARTTLS",
    b"AUTH LOGIN",
    b"AUTH XOAUTH2 " + b64("user=a\x01auth=Bearer b\x01\x01").encode(),
    b"*",
    b"",
    b"From: relay@contoso.example",
    b'From: <>, "\\',
]
STREAMS = st.lists(st.sampled_from(LINES) | st.binary(max_size=30), max_size=25).map(b"\r\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(stream=STREAMS, piece=st.integers(1, 40))
def test_every_stream_gives_the_same_replies_in_any_split(emulator: Emulator, stream: bytes, piece: int) -> None:
    emulator.control.patch({"limits": {"protocol_errors": 1000, "messages_per_minute": 1_000_000}})
    whole, split = logged_on(emulator), logged_on(emulator)
    expected = [reply[:12] for reply in whole.send(stream)]
    got: list[str] = []
    for start in range(0, len(stream), piece):
        got += [reply[:12] for reply in split.send(stream[start : start + piece])]
    assert got == expected
    assert split.session.want is whole.session.want
    assert split.session.want in (Want.READ, Want.CLOSE)
    for talk in (whole, split):
        talk.session.lost()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(stream=STREAMS, piece=st.integers(1, 40))
def test_the_mx_gives_the_same_replies_in_any_split(emulator: Emulator, stream: bytes, piece: int) -> None:
    emulator.control.patch({"limits": {"protocol_errors": 1000}})
    whole, split = MxTalk(emulator), MxTalk(emulator)
    expected = [reply[:9] for reply in whole.send(stream)]
    got: list[str] = []
    for start in range(0, len(stream), piece):
        got += [reply[:9] for reply in split.send(stream[start : start + piece])]
    assert got == expected
    for talk in (whole, split):
        talk.session.lost()
