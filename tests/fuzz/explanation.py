"""Any octets at the explanation: no exception, bounded findings, an answer that can be written as JSON."""

from __future__ import annotations

import msgspec

from posthouse.microsoft.excerpt import MAX_UNKNOWN
from posthouse.microsoft.replies import catalogue, entry_named
from posthouse.operate.explanation import explain
from posthouse.wire.report import MAX_RECIPIENTS


def one_input(data: bytes) -> None:
    """Explain the octets."""
    explained = explain(data)
    assert len(explained.findings) <= max(MAX_UNKNOWN + len(catalogue()), MAX_RECIPIENTS)
    for finding in explained.findings:
        assert finding.count > 0
        assert finding.explanation is None or entry_named(finding.explanation.id) is not None
    msgspec.json.encode(explained)
