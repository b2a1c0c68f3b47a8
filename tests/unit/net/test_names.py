"""Names in certificates against the names that are wanted."""

from __future__ import annotations

import pytest

from posthouse.net.names import certificate_covers, to_ascii


@pytest.mark.parametrize(
    ("wanted", "names", "expected"),
    [
        ("mx.example.com", ("mx.example.com",), True),
        ("MX.Example.com.", ("mx.example.com",), True),
        ("mx.example.com", ("*.example.com",), True),
        ("a.mx.example.com", ("*.example.com",), False),
        ("example.com", ("*.example.com",), False),
        ("example.com", ("*.com",), False),
        ("*.example.com", ("*.example.com",), True),
        ("*.example.com", ("mx.example.com",), True),
        ("*.example.com", ("a.mx.example.com",), False),
        ("*.example.com", ("example.com",), False),
        ("*.example.com", ("mx.example.org",), False),
        ("münchen.example", ("xn--mnchen-3ya.example",), True),
        ("mx.example.com", (), False),
    ],
)
def test_a_certificate_covers_a_name_or_does_not(wanted: str, names: tuple[str, ...], expected: bool) -> None:
    assert certificate_covers(wanted, names) is expected


def test_a_name_that_idna_refuses_stays_as_it_is() -> None:
    assert to_ascii("ü" * 80) == "ü" * 80
