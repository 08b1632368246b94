"""Lints training code before anything is trained: seconds, and nothing of it is run."""

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from mlbom.reproduce.lint.module import Module, index
from mlbom.reproduce.lint.rule import Project, Rule
from mlbom.reproduce.lint.rules import (
    clocks,
    downloads,
    generators,
    kernels,
    numerics,
    orders,
    seeds,
    surroundings,
    threads,
)
from mlbom.reproduce.lint.source import UnreadableSourceError, read_source
from mlbom.reproduce.values import CauseKind, LintFinding

RULES: tuple[Rule, ...] = (
    *seeds.RULES,
    *generators.RULES,
    *orders.RULES,
    *threads.RULES,
    *clocks.RULES,
    *downloads.RULES,
    *numerics.RULES,
    *kernels.RULES,
    *surroundings.RULES,
)
UNREADABLE = "unreadable-source"
# Of code, all files together: a syntax tree takes a hundred times that.
_MOST_BYTES = 24 * 1024 * 1024


def lint_project(root: Path, files: Iterable[str]) -> tuple[LintFinding, ...]:
    """Return what in a project's code makes, or can make, two trainings differ.

    Args:
        root: of the project, absolute.
        files: `.py` and `.ipynb` files that the training can reach (`reachable`), POSIX, relative
            to the project. They are judged together: a seed set in one counts in all.

    Returns:
        Findings by file and line. A file that cannot be read is among them.
    """
    found: dict[tuple[str, int, str], LintFinding] = {}
    modules: list[Module] = []
    nbytes = 0
    for path in sorted(set(files)):
        try:
            if nbytes > _MOST_BYTES:
                _refuse("the code before it is already larger than 24 MiB")
            source = read_source(root, path)
        except UnreadableSourceError as error:
            found[path, 1, UNREADABLE] = _unread(path, str(error))
        else:
            nbytes += source.nbytes
            modules.append(index(source))
    project = Project(modules)
    for rule in RULES:
        for hit in rule.find(project):
            line, place = hit.module.source.place(hit.node.lineno)
            finding = LintFinding(
                rule=rule.name,
                kind=rule.kind,
                path=hit.module.path,
                line=line,
                message=place + hit.message,
                fix=rule.fix,
            )
            found.setdefault((finding.path, hit.node.lineno, rule.name), finding)
    return tuple(found[key] for key in sorted(found))


def _refuse(message: str) -> NoReturn:
    raise UnreadableSourceError(message)


def _unread(path: str, why: str) -> LintFinding:
    return LintFinding(
        rule=UNREADABLE,
        kind=CauseKind.UNKNOWN,
        path=path,
        line=1,
        message=f"this file was not read: {why}",
        fix="look at it by hand",
    )
