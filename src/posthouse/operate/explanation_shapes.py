"""The shapes of an explanation, as ``--json`` and the control API give them.

Shape: frozen dataclasses of plain types, made by ``operate.explanation``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyExplanation:
    """What a known reply means.

    Attributes:
        id: Stable name of the entry in the catalogue.
        who: ``device_owner``, ``mail_admin``, ``entra_admin``, ``recipient_admin``, ``microsoft`` or ``nobody``.
        who_in_words: The same for people.
        portal: Where in the web portals, or empty.
        powershell: Commands.
        relay: What Posthouse does about it.
        evidence: ``certain``, ``secondary``, ``general knowledge`` or ``inferred``.
    """

    id: str
    title: str
    meaning: str
    cause: str
    who: str
    who_in_words: str
    remedy: str
    portal: str
    powershell: tuple[str, ...]
    relay: str
    evidence: str
    evidence_in_words: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFinding:
    """One reply in a text.

    Attributes:
        said: The reply without its frame.
        code: Reply code, or None.
        enhanced: Enhanced status code, or empty.
        general: What the codes mean in general (RFC 3463), or empty.
        recipient: Whom a notice speaks of, or empty.
        count: How often it came.
        explanation: None where the reply is not known.
    """

    said: str
    code: int | None
    enhanced: str
    general: str
    recipient: str = ""
    count: int = 1
    explanation: ReplyExplanation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All that was found in a text.

    Attributes:
        kind: ``text`` or ``notice`` (a non-delivery report).
        findings: In the order of the text.
    """

    kind: str
    findings: tuple[ReplyFinding, ...]

    @property
    def is_known(self) -> bool:
        """Something was explained."""
        return any(finding.explanation is not None for finding in self.findings)
