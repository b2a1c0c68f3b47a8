"""Paths of MAIL and RCPT and the xtext of their parameters; dialogs show the common cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.wire.smtp.path import Path, PathError, read_path
from posthouse.wire.smtp.xtext import XtextError, decode_embedded, decode_xtext, encode_xtext


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("<a@b.example>", Path(Address("a", "b.example"))),
        ("<A.B+c@B.Example> SIZE=1", Path(Address("A.B+c", "b.example"), "SIZE=1")),
        ("<a..b.@c>", Path(Address("a..b.", "c"))),
        ("<a@_dmarc.host_1.example>", Path(Address("a", "_dmarc.host_1.example"))),
        ("<>", Path(None)),
        ("<> BODY=8BITMIME", Path(None, "BODY=8BITMIME")),
        ('<"a@b"@c.example>', Path(Address('"a@b"', "c.example"))),
        ('<""@c.example>', Path(Address('""', "c.example"))),
        ("<a@[127.0.0.1]>", Path(Address("a", "[127.0.0.1]"))),
        ("<PostMaster>", Path(Address("PostMaster", ""))),
        ("<@x.example:a@b.example>", Path(Address("a", "b.example"), "", ("source route ignored",))),
        ('<@x.example:"a>b"@c.example>', Path(Address('"a>b"', "c.example"), "", ("source route ignored",))),
        ("  <a@b>   X=1", Path(Address("a", "b"), "X=1", ("blank before the address removed",))),
        ("a@b X=1", Path(Address("a", "b"), "X=1", ("missing angle brackets added",))),
        ("<ü@bücher.example>", Path(Address("ü", "bücher.example"))),
    ],
)
def test_a_path_is_read(text: str, path: Path) -> None:
    assert read_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "<",
            ">",
            "<a",
            "a>",
            "<a@>",
            "<@b>",
            "<a>",
            "<a@b>x",
            "<a@b><c@d>",
            "<a@b@c>",
            "<a@b c>",
            "<a b@c>",
        ),
        *('<"a@c.example>', '<"a"b@c.example>', "<a@.b>", "<a@b..c>", "<a@-b>", "<a@b->", "<a@b_c-.d>", "<a@b/c>"),
        *("<a@[1.2.3]>", "<a@[IPv6:1.2.3.4]>", "<a@[::1]>", "<a@[]>", "<@x:>", "<@x,@y>", "<a,b@c>", "<a;b@c>"),
        *("<a@b c>", "a@b>", "<a@b.>x", "<(a)@b>", "<a\\b@c>", "<a@b#c>"),
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        read_path(text)


@given(st.text(max_size=60) | st.text('<>@.,:;"\\ab[]1 ', max_size=30))
def test_any_text_is_a_sound_path_or_a_path_error(text: str) -> None:
    try:
        path = read_path(text)
    except PathError:
        return
    if path.address is not None and path.address.domain:
        domain = path.address.domain
        assert path.address.local
        assert domain.startswith("[") or all(label and label[0] != "-" for label in domain.split("."))
        assert not set(str(domain)) & set(' <>"@,;\\')


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_xtext_gives_back_what_it_was_given(text: str) -> None:
    assert decode_xtext(encode_xtext(text)) == text


@pytest.mark.parametrize("word", ["+", "+4", "+4g", "+0a", "+0A", "+00", "a b", "a=b", "é", "+E9", "+7F"])
def test_xtext_that_is_malformed_or_hides_controls_is_refused(word: str) -> None:
    with pytest.raises(XtextError):
        decode_xtext(word)


def test_characters_embedded_in_an_international_address_are_read() -> None:
    assert decode_embedded(r"andr\x{E9}@ex\x{20AC}mple") == "andré@ex€mple"
    assert decode_xtext("andré", allow_utf8=True) == "andré"
    for hidden in (r"\x{0A}", r"\x{110000}", r"\x{D800}", r"\x{202E}"):
        with pytest.raises(XtextError):
            decode_embedded(hidden)


def test_only_ascii_becomes_xtext() -> None:
    with pytest.raises(XtextError):
        encode_xtext("é")
