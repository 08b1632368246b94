"""A project made of snippets, and what the lint says of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlbom.reproduce.lint.lint import lint_project
from mlbom.reproduce.lint.reach import project_files
from mlbom.reproduce.values import LintFinding

Lint = Callable[..., tuple[LintFinding, ...]]


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    """Return a function that lints one snippet, or several files by name."""

    def run(source: str = "", **files: str) -> tuple[LintFinding, ...]:
        named: Mapping[str, str] = {"train": source, **files} if source else files
        for name, text in named.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return lint_project(tmp_path, project_files(tmp_path))

    return run
