"""Any responses at the SASL server mechanisms: no exception, no success without the secret."""

from __future__ import annotations

from datetime import UTC, datetime

from posthouse.wire.sasl.exchange import (
    Challenge,
    CheckCertificate,
    CheckPassword,
    Failure,
    NeedCramSecret,
    NeedScramKeys,
    Step,
)
from posthouse.wire.sasl.server import MECHANISMS, begin

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def one_input(data: bytes) -> None:
    """The first octet chooses the mechanism; a line end parts the responses."""
    if not data:
        return
    name = MECHANISMS[data[0] % len(MECHANISMS)]
    mechanism = begin(name, nonce=b"n" * 18, hostname="relay.example", now=NOW, pretence_key=b"k")
    responses: list[bytes | None] = [*data[1:].split(b"\n")]
    if data[0] & 128:
        responses.insert(0, None)
    for response in responses:
        step: Step = mechanism.step(response)
        if isinstance(step, NeedCramSecret | NeedScramKeys):
            step = mechanism.supply(None)
        if isinstance(step, Challenge):
            continue
        assert isinstance(step, CheckPassword | CheckCertificate | Failure), step
        return
