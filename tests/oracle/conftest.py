"""The outside verifiers that several tests ask."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_signing() -> str:
    """Return the command, from the environment named by MLBOM_ORACLE_VENV or from PATH."""
    folder = os.environ.get("MLBOM_ORACLE_VENV")
    own = Path(folder).absolute() / "bin" / "model_signing" if folder else None
    found = str(own) if own and own.is_file() else shutil.which("model_signing")
    if found is None and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("model_signing is not installed")
    assert found, "model_signing is not installed"
    return found
