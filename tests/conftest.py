"""What every test starts from: no settings, keys or caches of the person who runs it."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--remake-goldens", action="store_true", help="write tests/golden anew")


@pytest.fixture(autouse=True)
def _own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in [n for n in os.environ if n.startswith(("MLBOM_", "GIT_"))]:
        if not name.startswith("MLBOM_ORACLE"):
            monkeypatch.delenv(name)
    for name in ("CI", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture
def shared_conformance() -> Path:
    """Return the folder of the standards' own test files; skip where it does not lie beside us."""
    folder = Path(__file__).parent.parent.parent / "shared" / "conformance"
    if not folder.is_dir():
        pytest.skip("the standards' own test files are not beside this checkout")
    return folder
