"""All refusals of Entra in one table.

Purpose: find a refusal by its number, for faults on order and for the page that lists what is certain.
Shape: `REFUSALS` holds every template once; `ordered` makes an error of a fault's text, `AADSTS50196` or
`AADSTS50196: any sentence`. Failures: absence is `None`. Leaves to others: when each applies.
"""

import re
from collections import defaultdict

from m365emu.entra import errors, user_errors
from m365emu.entra.errors import EntraError, Refusal

REFUSALS: tuple[Refusal, ...] = tuple(
    value for module in (errors, user_errors) for value in vars(module).values() if isinstance(value, Refusal)
)

_ORDER = re.compile(r"AADSTS(\d{4,8})(?:: (.+))?")


def ordered(status: int, text: str) -> EntraError | None:
    """Return the error that a fault orders, or `None` when it orders something else."""
    match = _ORDER.fullmatch(text)
    if match is None:
        return None
    number, blanks = int(match[1]), defaultdict[str, str](lambda: "-")
    known = next((refusal for refusal in REFUSALS if refusal.number == number), None)
    fallback = "temporarily_unavailable" if status >= 500 else "invalid_grant"
    return EntraError(
        number=number,
        error=known.error if known else fallback,
        sentence=match[2] or (known.sentence.format_map(blanks) if known else "The request was refused."),
        status=status,
        suberror=known.suberror if known else "",
        claims=known.claims if known else "",
    )
