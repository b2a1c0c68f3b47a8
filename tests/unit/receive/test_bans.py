"""Failures, delays and bans."""

from __future__ import annotations

from datetime import timedelta

from posthouse.receive.bans import Bans, address_key


def test_delays_grow_and_then_the_key_is_banned_for_a_while() -> None:
    bans = Bans(5, timedelta(minutes=15))
    assert [bans.failed("x", bytes([n]), 10.0) for n in range(4)] == [0.5, 1.0, 2.0, 4.0]
    assert not bans.is_banned("x", 10.0)
    bans.failed("x", b"4", 10.0)
    assert bans.is_banned("x", 10.0)
    assert bans.is_banned("x", 10.0 + 899)
    assert not bans.is_banned("x", 10.0 + 900)
    assert not bans.is_banned("y", 10.0)


def test_the_same_wrong_guess_is_delayed_but_not_counted_again() -> None:
    bans = Bans(3, timedelta(minutes=15))
    for _ in range(20):
        bans.failed("x", b"same", 10.0)
    assert not bans.is_banned("x", 10.0)
    bans.failed("x", b"second", 10.0)
    bans.failed("x", b"third", 10.0)
    assert bans.is_banned("x", 10.0)


def test_failures_are_forgotten_after_success_and_after_a_while() -> None:
    bans = Bans(3, timedelta(minutes=15))
    for guess in (b"1", b"2"):
        bans.failed("x", guess, 10.0)
    bans.succeeded("x")
    assert len(bans) == 0
    for guess in (b"1", b"2"):
        bans.failed("x", guess, 10.0)
    bans.failed("x", b"3", 10.0 + 901)
    assert not bans.is_banned("x", 10.0 + 901)


def test_a_ban_outlives_a_success() -> None:
    bans = Bans(1, timedelta(minutes=15))
    bans.failed("x", b"1", 10.0)
    bans.succeeded("x")
    assert bans.is_banned("x", 11.0)


def test_memory_is_bounded_and_the_longest_unseen_key_goes_first() -> None:
    bans = Bans(1, timedelta(minutes=15), capacity=100)
    for n in range(1000):
        bans.failed(str(n), b"", 10.0)
    assert len(bans) == 100
    assert bans.is_banned("999", 10.0)
    assert not bans.is_banned("0", 10.0)


def test_an_ipv6_customer_is_one_address() -> None:
    assert address_key("2001:db8:1:2::1") == address_key("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert address_key("2001:db8:1:3::1") != address_key("2001:db8:1:2::1")
    assert address_key("192.0.2.1") == "192.0.2.1"
