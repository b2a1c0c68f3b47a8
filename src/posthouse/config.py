"""Read posthouse.toml and flow.toml into the settings that each package owns.

Purpose: one call, `load`, that answers with a configuration that can be used or with everything that is wrong in both
files at once. Source: TOML 1.0.0.
Shape: text to document (`_read`), document to settings (``operate.findings``), settings to what they mean together
(``operate.meaning``), then relative paths become absolute.
Failures: `ConfigurationRefused`. A secret is never repeated in an error.
Leaves to others: the look at the running system (``operate.checks``), opening secrets (``deliver``).
"""

from __future__ import annotations

import re
import socket
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from posthouse.decide.flow import Flow
from posthouse.operate.configuration import Configuration, NodeSettings
from posthouse.operate.findings import Document, SettingsT, find_problems
from posthouse.operate.meaning import flow_problems, node_problems, shared_problems
from posthouse.operate.names import FLOW_FILE, NODE_FILE
from posthouse.operate.problem import ConfigurationRefused, Problem
from posthouse.operate.toml_lines import key_lines

__all__ = ["Configuration", "ConfigurationRefused", "NodeSettings", "Problem", "judge_flow", "load"]

MAX_OCTETS = 4 * 1024 * 1024
"""A configuration file larger than this is a mistake."""


def load(directory: Path) -> Configuration:
    """Read and judge both files.

    Args:
        directory: Where they are; relative paths inside them start here.

    Returns:
        The configuration, with warnings.

    Raises:
        ConfigurationRefused: All errors of both files.
    """
    directory = directory.absolute()
    _, node_document = _read(directory / NODE_FILE)
    flow_text, flow_document = _read(directory / FLOW_FILE)
    node, node_found = _settings(NodeSettings, node_document)
    flow, flow_found = _flow(flow_document)
    found = [*node_found, *flow_found]
    if isinstance(node_document, Document):
        found += node_problems(node_document, node)
    if isinstance(node_document, Document) and isinstance(flow_document, Document):
        found += shared_problems(node_document, flow_document)
    errors = _in_order(found, "error")
    warnings = _in_order(found, "warning")
    if errors or node is None or flow is None:
        raise ConfigurationRefused(errors, warnings)
    node = _absolute(node, directory)
    if not node.hostname:
        node = node.model_copy(update={"hostname": socket.gethostname()})
    return Configuration(
        node=node,
        flow=_absolute(flow, directory),
        flow_text=flow_text,
        directory=directory,
        warnings=warnings,
    )


def judge_flow(text: str, directory: Path) -> Sequence[Problem]:
    """Problems of a flow's text before it is put into use, errors first.

    Args:
        text: What flow.toml would hold.
        directory: Where posthouse.toml is, for the names that the flow takes from it.
    """
    document = _parse(FLOW_FILE, text)
    _, found = _flow(document)
    _, node_document = _read(directory / NODE_FILE)
    if isinstance(document, Document) and isinstance(node_document, Document):
        found += shared_problems(node_document, document)
    return (*_in_order(found, "error"), *_in_order(found, "warning"))


def _read(path: Path) -> tuple[str, Document | Problem]:
    try:
        size = path.stat().st_size
        if size > MAX_OCTETS:
            return "", Problem(file=path.name, message=f"the file has {size:,} octets, {MAX_OCTETS:,} are allowed")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        hint = f"`posthouse init --dir {path.parent}` writes it; `--dir` or POSTHOUSE_DIR names another directory"
        return "", Problem(file=path.name, message=f"there is no such file in {path.parent}", hint=hint)
    except OSError as error:
        return "", Problem(file=path.name, message=f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        return "", Problem(file=path.name, message=f"octet {error.start} is not UTF-8", hint="save the file as UTF-8")
    return text, _parse(path.name, text)


def _parse(name: str, text: str) -> Document | Problem:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _syntax_problem(name, str(error))
    except RecursionError:
        return Problem(file=name, message="the file is nested too deeply")
    return Document(name, data, key_lines(text))


def _syntax_problem(name: str, said: str) -> Problem:
    """The reader's words, with its position moved to where positions stand."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", said, re.DOTALL)
    sentence, line, column = (match[1], int(match[2]), f" in column {match[3]}") if match else (said, None, "")
    # Some of the reader's messages quote a value, which may be a secret.
    sentence = re.sub(r"'[^']{5,}'|\"[^\"]{5,}\"", "...", sentence)
    return Problem(
        file=name,
        line=line,
        message=f"not valid TOML{column}: {sentence[:1].lower()}{sentence[1:]}",
        hint='text stands in quotes, lists in brackets: key = "text", key = ["one", "two"]',
    )


def _settings(root: type[SettingsT], document: Document | Problem) -> tuple[SettingsT | None, list[Problem]]:
    if isinstance(document, Problem):
        return None, [document]
    result = find_problems(root, document)
    return (None, result) if isinstance(result, list) else (result, [])


def _flow(document: Document | Problem) -> tuple[Flow | None, list[Problem]]:
    flow, found = _settings(Flow, document)
    if isinstance(document, Problem):
        return None, found
    together = flow_problems(document, flow)
    if any(problem.severity == "error" for problem in together):
        # The same faults, with their lines: the sentence about the whole file says nothing more.
        found = [problem for problem in found if problem.key]
        flow = None
    return flow, [*found, *together]


def _in_order(found: Sequence[Problem], severity: str) -> tuple[Problem, ...]:
    """Those of one severity, by file and line, each only once."""
    chosen = dict.fromkeys(problem for problem in found if problem.severity == severity)
    files = {NODE_FILE: 0, FLOW_FILE: 1}
    return tuple(sorted(chosen, key=lambda problem: (files.get(problem.file, 2), problem.line or 0)))


def _absolute(settings: SettingsT, directory: Path) -> SettingsT:
    """Paths and ``file:`` references below `directory` where they are relative."""
    update = {name: _absolute_value(getattr(settings, name), directory) for name in type(settings).model_fields}
    return settings.model_copy(update=update)


def _absolute_value(value: object, directory: Path) -> object:
    match value:
        case BaseModel():
            return _absolute(value, directory)
        case tuple():
            return tuple(_absolute_value(item, directory) for item in value)
        case Path():
            return directory / value
        case str() if value.startswith("file:"):
            return f"file:{directory / value.removeprefix('file:')}"
        case _:
            return value
