"""Run a program that insists on fixed paths, without touching those paths.

Exim and OpenSMTPD look for their own users and directories at places chosen when they were built. The command made
here starts them in a mount namespace of their own, where /etc/passwd, /etc/group and the named directories are private
copies.
Source: mount_namespaces(7), unshare(1). Failures: a machine that forbids namespaces makes the test skip by name.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.peers.programs import require, require_root, run


@functools.cache
def _namespaces_work() -> bool:
    return run([require("unshare"), "--mount", "true"]).code == 0


def private_view(
    directory: Path,
    command: Sequence[str | Path],
    *,
    users: Sequence[str] = (),
    copies: dict[str, Path] | None = None,
) -> list[str | Path]:
    """The command line that runs ``command`` with further users, and with directories replaced.

    Args:
        directory: Where the private copies are kept.
        command: Program and arguments.
        users: Names that are to exist as system users, each with a group of the same name.
        copies: Absolute path of the machine to directory that stands there for this program.
    """
    require_root(str(command[0]))
    if not _namespaces_work():
        pytest.skip("this machine allows no mount namespaces")
    for kind, row in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
        rows = "".join(row.format(name, 64000 + number) for number, name in enumerate(users))
        (directory / kind).write_text(Path("/etc", kind).read_text() + rows)
    binds = {"/etc/passwd": directory / "passwd", "/etc/group": directory / "group", **(copies or {})}
    lines = [f"mount --bind {shlex.quote(str(source))} {shlex.quote(target)}" for target, source in binds.items()]
    lines.append("exec " + shlex.join(str(part) for part in command))
    return [require("unshare"), "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines)]
