"""The reference of both configuration files, made from the settings classes themselves.

Shape: `configuration_reference` gives Markdown; ``docs/reference/configuration.md`` is its output, and a test compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posthouse.decide.flow import Flow
from posthouse.operate.configuration import NodeSettings
from posthouse.operate.fields import describe, models_in, show_default, tables

_HEAD = """\
# Configuration

Two files in one directory: `posthouse.toml` is the node, `flow.toml` the mail flow. Both are TOML. Relative paths
start from their directory. `posthouse check` finds everything that is wrong at once. This page is printed by
`posthouse config reference`.

Durations are written as `"90s"`, `"15m"`, `"24h"` or `"7d"`, sizes as `"35MiB"`, `"150MB"` or a number of octets.
Secrets are never written down, only referred to: `"env:NAME"`, `"file:PATH"`, or `"secret:NAME"` for one that is kept
encrypted in the store (`posthouse secret set NAME`).
"""


def configuration_reference() -> str:
    """Markdown for both files."""
    parts = [_HEAD, *_file("posthouse.toml", NodeSettings), *_file("flow.toml", Flow)]
    return "\n".join(parts)


def _file(name: str, root: type[BaseModel]) -> Iterator[str]:
    yield f"## {name}\n"
    plain = {key: field for key, field in root.model_fields.items() if not models_in(field.annotation)}
    if plain:
        yield _table(plain)
    for path, model, is_list in tables(root):
        kind = model.model_fields.get("kind")
        chosen = f' with `kind = "{kind.default}"`' if kind is not None and path == "outbound" else ""
        yield f"### {'[[' if is_list else '['}{path}{']]' if is_list else ']'}{chosen}\n"
        about = inspect.getdoc(model)
        if about:
            yield f"{about.splitlines()[0]}\n"
        yield _table(model.model_fields)


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = show_default(field)
        shown = default if default in {"required", "none"} else f"`{default}`"
        rows.append(f"| `{name}` | {_cell(describe(field))} | {_cell(shown)} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
