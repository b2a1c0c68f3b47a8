"""The recipes of the emulator's README, followed to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "docs" / "emulator.md"
BLOCK = re.compile(r"^```(python|sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = re.findall(r"^## (Recipe \d: .*)$", README.read_text(), re.MULTILINE)


def blocks(title: str) -> list[tuple[str, str]]:
    """Return the code of one section, with its language."""
    section = README.read_text().split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return BLOCK.findall(section)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works_word_by_word(title: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None and "curl" in str(blocks(title)):
        pytest.skip("curl is not installed")
    script = "set -e -o pipefail\n"
    for language, code in blocks(title):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            assert name is not None, "a block of Python must begin with its file's name"
            (tmp_path / name[1]).write_text(code)
        elif language == "sh":
            script += code
    # The only thing that is not to the letter: free ports, so that nothing that runs here is in the way.
    ports = {f"M365EMU_{name}": "127.0.0.1:0" for name in ("SUBMISSION", "HTTPS", "HTTP")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **ports, "PATH": path, "no_proxy": "*"}
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        environment.pop(name, None)
    with subprocess.Popen(
        ["bash", "-c", script + "\nwait\n"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=100)
        finally:
            if process.poll() is None or process.returncode:
                import contextlib
                import signal

                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said


def test_there_are_three_recipes() -> None:
    assert len(RECIPES) == 3 and all(blocks(title) for title in RECIPES)


def test_the_scenario_shown_is_one_that_can_be_played(tmp_path: Path) -> None:
    from m365emu.clock import SystemClock
    from m365emu.emulator import prepare
    from m365emu.scenario import read_scenario
    from m365emu.tenant import patched
    from m365emu.tenant_file import read_tenant

    ((language, text),) = blocks("Scenarios")
    assert language == "toml"
    (tmp_path / "own.toml").write_text(text)
    prepare(tmp_path / "e", SystemClock())
    tenant = read_tenant(tmp_path / "e" / "tenant.toml")
    scenario = read_scenario(str(tmp_path / "own.toml"), tenant)
    assert patched(tenant, scenario.tenant).mailboxes["printer@contoso.example"].full
