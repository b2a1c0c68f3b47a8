"""Connections, messages a minute, recipients a day."""

from __future__ import annotations

from posthouse.decide.policy import Rights
from posthouse.mail.session import Principal, PrincipalKind
from posthouse.receive.quota import (
    DAY_EXCEEDED,
    RATE_EXCEEDED,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_ON_SERVER,
    ConnectionQuota,
    SendingQuota,
)

DEVICES = Principal(PrincipalKind.INBOUND_CONNECTOR, "devices")


def test_connections_are_counted_by_address_and_in_all() -> None:
    quota = ConnectionQuota(3, 2)
    assert [quota.enter("a"), quota.enter("a"), quota.enter("a")] == [None, None, TOO_MANY_FROM_ADDRESS]
    assert [quota.enter("b"), quota.enter("c")] == [None, TOO_MANY_ON_SERVER]
    quota.leave("a")
    assert quota.enter("c") is None
    assert quota.open == 3


def test_a_burst_of_a_quarter_minute_is_allowed_then_the_pace_counts() -> None:
    quota, rights = SendingQuota(), Rights(principal=DEVICES, messages_per_minute=12)
    assert [quota.take_message(rights, 100.0) for _ in range(3)] == [None, None, None]
    refusal = quota.take_message(rights, 100.0)
    assert refusal is not None and refusal[0] is RATE_EXCEEDED
    assert quota.take_message(rights, 105.0) is None
    assert quota.take_message(rights, 105.0) is not None


def test_a_new_limit_of_the_flow_counts_at_once() -> None:
    quota = SendingQuota()
    assert quota.take_message(Rights(principal=DEVICES, messages_per_minute=1), 100.0) is None
    assert quota.take_message(Rights(principal=DEVICES, messages_per_minute=1), 100.0) is not None
    assert quota.take_message(Rights(principal=DEVICES, messages_per_minute=60), 100.0) is None


def test_recipients_of_a_rolling_day_include_those_before_the_start() -> None:
    quota, rights = SendingQuota(), Rights(principal=DEVICES, recipients_per_day=10)
    quota.prime({"inbound_connector:devices": 6, "account:other": 1000}, 1000.0)
    assert quota.judge_recipients(rights, 4, 1000.0) is None
    refusal = quota.judge_recipients(rights, 5, 1000.0)
    assert refusal is not None and refusal[0] is DAY_EXCEEDED
    quota.count_recipients(rights, 4, 2000.0)
    assert quota.judge_recipients(rights, 1, 2000.0) is not None
    assert quota.judge_recipients(rights, 6, 1000.0 + 86400 + 600) is None


def test_without_limits_nothing_is_refused_or_kept() -> None:
    quota, rights = SendingQuota(), Rights(principal=DEVICES)
    assert quota.take_message(rights, 1.0) is None
    assert quota.judge_recipients(rights, 10**9, 1.0) is None
