"""This machine's addresses are told from others."""

from __future__ import annotations

import pytest

from posthouse.net.connect import is_own_address


@pytest.mark.parametrize(
    ("ip", "own"), [("127.0.0.1", True), ("127.9.8.7", True), ("192.0.2.1", False), ("2001:db8::1", False)]
)
def test_only_an_address_of_this_machine_is_own(ip: str, own: bool) -> None:
    assert is_own_address(ip) is own
