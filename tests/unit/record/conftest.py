"""A project to record steps in."""

from pathlib import Path

import pytest

from tests.unit.record.step import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path.resolve() / "project")
