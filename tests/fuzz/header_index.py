"""Any octets at the header index: no exception, fields that tile the header, and two ways to the facts that agree."""

from __future__ import annotations

from posthouse.wire.header import HeaderIndex, facts, first_address, header_end


def one_input(data: bytes) -> None:
    """Index the octets, then read what the trace needs by the short way and by the index."""
    index = HeaderIndex.scan(data)
    position = 0
    for field in index.fields:
        assert field.start == position < field.value_start <= field.end
        assert data[field.start : field.value_start].rstrip(b": \t").lower() == field.name
        position = field.end
    assert position == index.end == header_end(data)
    assert data[index.end : index.body_start] in (b"", b"\n", b"\r\n")
    found = facts(data)
    assert found.subject == (index.get("subject") or "")
    assert found.message_id == (index.get("message-id") or "")
    assert found.from_address == first_address(index.raw("from") or b"")
    assert found.received_count == len(index.all("received"))
