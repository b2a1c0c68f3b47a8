"""Command lines: from octets to verb, path and parameters.

Purpose: read what a client says, strictly. Source: RFC 5321 4.1.1 and 4.1.2; RFC 1870 (SIZE); RFC 6152 and
RFC 3030 (BODY); RFC 3461 4 (DSN); RFC 6531 3.4 (SMTPUTF8).
Shape: functions from `bytes` or `str` to values; a wrong line comes back as the `Reply` that refuses it.
Leaves to others: whether the command is allowed now (`smtp.session`).
"""

import re
from dataclasses import dataclass

from m365emu import replies
from m365emu.replies import Reply

LONGEST_LINE = 12_288
"""The longest line that is read, that of AUTH with a bearer token (RFC 4954 4)."""

LONGEST_ORDINARY_LINE = 4_096
"""The longest line of any other command; UTF-8 addresses and ORCPT fit."""

_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^\s<>"])*)>(.*)', re.DOTALL)
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL})(?:\.{_LABEL})*|\[[0-9A-Za-z:.]+\]")
_LOCAL = re.compile(r'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*"|[^\s"(),:;<>@\[\\\]\x00-\x1f]+')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line, split once: the verb in upper case and the rest without outer blanks."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """MAIL or RCPT: the address (empty for the null sender) and its parameters, keywords in upper case."""

    address: str
    parameters: dict[str, str]


def read_command(line: bytes) -> Command | Reply:
    """Read one line without its CRLF."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return replies.INVALID_ARGUMENTS
    if _CONTROL.search(text):
        return replies.UNRECOGNIZED
    verb, _, argument = text.strip(" ").partition(" ")
    verb = verb.upper()
    if len(line) > LONGEST_ORDINARY_LINE and verb != "AUTH":
        return replies.TOO_LONG
    return Command(verb=verb, argument=argument.strip(" "))


def is_hello_name(text: str) -> bool:
    """Say whether EHLO's or HELO's argument is present and is one word."""
    return bool(text) and " " not in text and len(text) <= 255


def read_sender(argument: str) -> Path | Reply:
    """Read the argument of MAIL: `FROM:<address> [parameters]`; `<>` is the null sender."""
    path = _read_path(argument, "FROM:", replies.INVALID_SENDER, replies.LONG_SENDER)
    if isinstance(path, Reply):
        return path
    refusal = _check_sender_parameters(path.parameters)
    return path if refusal is None else refusal


def read_recipient(argument: str) -> Path | Reply:
    """Read the argument of RCPT: `TO:<address> [parameters]`."""
    path = _read_path(argument, "TO:", replies.INVALID_RECIPIENT, replies.LONG_RECIPIENT)
    if isinstance(path, Reply):
        return path
    if not path.address:
        return replies.INVALID_RECIPIENT
    for keyword, value in path.parameters.items():
        if keyword == "NOTIFY":
            wanted = set(value.upper().split(","))
            if not wanted <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"} or ("NEVER" in wanted and len(wanted) > 1):
                return replies.INVALID_ARGUMENTS
        elif keyword == "ORCPT":
            if ";" not in value:
                return replies.INVALID_ARGUMENTS
        else:
            return replies.UNRECOGNIZED_PARAMETER
    return path


def read_chunk(argument: str) -> tuple[int, bool] | Reply:
    """Read the argument of BDAT: the octets that follow, and whether they are the last (RFC 3030 2)."""
    size, _, last = argument.partition(" ")
    if not size.isascii() or not size.isdigit() or len(size) > 12 or last.upper() not in ("", "LAST"):
        return replies.INVALID_ARGUMENTS
    return int(size), bool(last)


def _read_path(argument: str, keyword: str, invalid: Reply, too_long: Reply) -> Path | Reply:
    if argument[: len(keyword)].upper() != keyword:
        return replies.INVALID_ARGUMENTS
    match = _PATH.fullmatch(argument[len(keyword) :].lstrip(" "))
    if match is None:
        return invalid
    address, rest = match.groups()
    if address.startswith("@"):
        address = address.partition(":")[2]  # a source route, accepted and ignored (RFC 5321 4.1.1.3)
        if not address:
            return invalid
    if len(address) > 571:
        return too_long
    if address and not _is_address(address):
        return invalid
    parameters = _read_parameters(rest)
    if isinstance(parameters, Reply):
        return parameters
    return Path(address=address, parameters=parameters)


def _is_address(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    if len(local) > 64 or len(domain) > 255:
        return False
    return bool(_LOCAL.fullmatch(local)) and bool(_DOMAIN.fullmatch(domain))


def _read_parameters(rest: str) -> dict[str, str] | Reply:
    if rest and not rest.startswith(" "):
        return replies.INVALID_ARGUMENTS
    parameters: dict[str, str] = {}
    for word in rest.split():
        keyword, _, value = word.partition("=")
        keyword = keyword.upper()
        if keyword in parameters:
            return replies.INVALID_ARGUMENTS
        parameters[keyword] = value
    return parameters


def _check_sender_parameters(parameters: dict[str, str]) -> Reply | None:
    for keyword, value in parameters.items():
        if keyword == "SIZE":
            if not value.isascii() or not value.isdigit() or len(value) > 20:
                return replies.INVALID_ARGUMENTS
        elif keyword == "BODY":
            if value.upper() not in ("7BIT", "8BITMIME", "BINARYMIME"):
                return replies.UNSUPPORTED_BODY
        elif keyword == "RET":
            if value.upper() not in ("FULL", "HDRS"):
                return replies.INVALID_ARGUMENTS
        elif keyword in ("ENVID", "AUTH"):
            if not value or len(value) > 500:
                return replies.INVALID_ARGUMENTS
        elif keyword != "SMTPUTF8" or value:
            return replies.UNRECOGNIZED_PARAMETER
    return None
