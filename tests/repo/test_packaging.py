"""The package can be installed, brings its data files, and every dependency is declared and locked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
# Come with a declared distribution (pydantic, fastapi) and make up a part of its interface.
PARTS = {"pydantic_core", "starlette"}
LOCK = (CHECKOUT / "requirements.lock").read_text()


def normal(name: str) -> str:
    """A distribution's name as the packaging standard compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """Names of distributions in a list of requirements."""
    return {normal(match[0]) for text in requirements if (match := re.match(r"[A-Za-z0-9._-]+", text))}


def test_the_lock_file_names_no_host() -> None:
    assert not re.search(r"https?:|file:|--(?:extra-)?index-url|--find-links|--trusted-host", LOCK)


def test_every_locked_distribution_has_a_version_and_hashes() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) > 40
    loose = [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert loose == []


def test_every_declared_dependency_is_locked() -> None:
    declared = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        declared += extra
    locked = {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, re.MULTILINE)}
    assert names(declared) - locked == set()


def test_everything_imported_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = names([*PROJECT["dependencies"], *extras["speed"], *extras["pytest"]])
    providers = packages_distributions()
    undeclared = {
        f"{path.relative_to(CHECKOUT)}: {module}"
        for path in (CHECKOUT / "src").rglob("*.py")
        for module in imported(path)
        if module not in sys.stdlib_module_names
        and module not in {"posthouse", "m365emu"} | PARTS
        and not {normal(name) for name in providers.get(module, [])} & declared
    }
    assert undeclared == set()


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ``pip install .`` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ".",
    ]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_brings_every_file_of_the_source(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    source = {
        str(path.relative_to(CHECKOUT / "src"))
        for path in (CHECKOUT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    assert source - inside == set()


def test_the_installed_package_runs_from_a_virtual_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    # Dependencies come from this environment, so that the test asks no index.
    venv.create(tmp_path / "env", with_pip=False)
    target = tmp_path / "env" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    zipfile.ZipFile(wheel).extractall(target)
    (target / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = "import posthouse.service, sys; print(posthouse.__file__)"
    python = tmp_path / "env" / "bin" / "python"
    where = subprocess.run([python, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert where.returncode == 0, where.stderr
    assert where.stdout.startswith(str(target))
    shown = subprocess.run([python, "-m", "posthouse", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "run" in shown.stdout
