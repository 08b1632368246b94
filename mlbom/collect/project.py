"""The software project: pyproject.toml and CITATION.cff, read as text; nothing is built or run."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlbom.collect.licences import licence_expression
from mlbom.collect.scope import Scope, Witness, texts
from mlbom.errors import MalformedError, UnreadableError
from mlbom.evidence.nodes import Project
from mlbom.evidence.observation import Gap, Observation
from mlbom.formats.strict_yaml import parse_yaml

SUBJECT = "project:"
# A longer `license.text` is the text of a licence, not its name.
_MAX_EXPRESSION = 200
_HOMEPAGE_KEYS = ("homepage", "home-page", "repository", "source", "source code", "documentation")


class ProjectCollector:
    """Reads the project's own metadata files at PATH."""

    name = "project"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield `Project` facts; a file that does not parse is a gap."""
        witness = Witness(self.name)
        readers = {"pyproject.toml": _pyproject, "CITATION.cff": _citation}
        for path, reader in readers.items():
            if not scope.has_file(path):
                continue
            try:
                yield from reader(scope.read_bytes(path), witness.at(path))
            except UnreadableError as error:
                yield witness.at(path).cannot_read(f"doc:{path}", error)


def _pyproject(data: bytes, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the `[project]` table (PEP 621, PEP 639)."""
    import tomllib

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        message = f"{witness.path} is not valid TOML: {error}"
        raise MalformedError(message) from error
    told = document.get("project")
    if not isinstance(told, Mapping):
        return
    fields = {"name": "name", "version": "version", "description": "description"}
    fields["requires_python"] = "requires-python"
    for field, key in fields.items():
        if isinstance(told.get(key), str) and told[key]:
            yield witness.observes(Project(id=SUBJECT, **{field: told[key]}), key=f"project.{key}")
    sets = {"authors": _names(told.get("authors")), "requirements": texts(told.get("dependencies"))}
    sets["dynamic"] = texts(told.get("dynamic"))
    for field, found in sets.items():
        if found:
            node = Project(id=SUBJECT, **{field: found})  # type: ignore[arg-type]
            yield witness.observes(node, key=f"project.{field}")
    if "version" in sets["dynamic"]:
        reason = "the version is computed by the build backend, which is not run"
        yield witness.misses(SUBJECT, reason, field="version")
    homepage = _homepage(told.get("urls"))
    if homepage:
        yield witness.observes(Project(id=SUBJECT, homepage=homepage), key="project.urls")
    yield from _licence(told.get("license"), witness)


def _licence(told: object, witness: Witness) -> Iterator[Observation | Gap]:
    text = told.get("text") if isinstance(told, Mapping) else told
    if not isinstance(text, str):
        return
    expression = licence_expression(text) if len(text) < _MAX_EXPRESSION else None
    if expression:
        yield witness.observes(Project(id=SUBJECT, licence=expression), key="project.license")
    else:
        reason = "project.license is no SPDX licence expression"
        yield witness.misses(SUBJECT, reason, field="licence")


def _names(told: object) -> tuple[str, ...]:
    """Return people's names without their e-mail addresses."""
    people = told if isinstance(told, list) else []
    return tuple(p["name"] for p in people if isinstance(p, Mapping) and texts(p.get("name")))


def _homepage(told: object) -> str | None:
    urls: dict[str, Any] = {}
    if isinstance(told, Mapping):
        urls = {str(k).lower(): v for k, v in told.items() if isinstance(v, str)}
    return next((urls[key] for key in _HOMEPAGE_KEYS if key in urls), None)


def _citation(data: bytes, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the facts of a CITATION.cff file (Citation File Format 1.2)."""
    told = parse_yaml(data, witness.path)
    if not isinstance(told, Mapping):
        return
    authors = tuple(
        " ".join(str(a[key]) for key in ("given-names", "family-names", "name") if a.get(key))
        for a in told.get("authors") or ()
        if isinstance(a, Mapping)
    )
    doi = told.get("doi")
    facts: dict[str, Any] = {
        "authors": tuple(a for a in authors if a),
        "doi": doi if isinstance(doi, str) else None,
    }
    for field, value in facts.items():
        if value:
            yield witness.observes(Project(id=SUBJECT, **{field: value}), key=field)
