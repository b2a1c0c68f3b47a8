"""The whole catalogue of replies as a page.

Shape: `catalogue_page` gives Markdown; ``docs/reference/replies.md`` is its output, and a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.microsoft.replies import Entry, catalogue
from posthouse.operate.explanation import relay_words

_HEAD = """\
# What Microsoft 365 says

Every reply and error code that Posthouse knows: what it means, who must act, and what Posthouse does. Printed by
`posthouse explain --list --markdown`; `posthouse explain "TEXT"` finds the entry for a reply, a notice or a log.

How sure an entry is: *certain* (documented by Microsoft, or seen on the wire), *secondary* (told by others), *general
knowledge* (no source at hand), *inferred*.
"""


def catalogue_page() -> str:
    """Markdown, one section for each entry."""
    parts = [_HEAD]
    for entry in catalogue():
        parts.append("\n".join(_section(entry)))
    return "\n".join(parts)


def _section(entry: Entry) -> Iterator[str]:
    yield f"## {entry.id}\n"
    yield f"**{entry.title}.** {entry.meaning}\n"
    yield f"```text\n{entry.example}\n```\n"
    if entry.cause:
        yield f"* Cause: {entry.cause}"
    yield f"* Who must act: {entry.who.words}"
    if entry.remedy:
        yield f"* What to do: {entry.remedy}"
    if entry.portal:
        yield f"* Where: {entry.portal}"
    yield f"* Posthouse {relay_words(entry.retry)}"
    yield f"* {entry.evidence.value.capitalize()}. Source: {entry.source}"
    if entry.powershell:
        yield "\n```powershell\n" + "\n".join(entry.powershell) + "\n```"
    yield ""
