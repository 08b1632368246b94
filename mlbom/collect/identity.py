"""Who the model is: the ladder of names and versions, and the `Release` that heads the evidence.

Name: what the user says, else card or hub cache, else the git remote on a model hub, the project,
the first heading of README.md, and last the folder (marked inferred). What a configuration calls
its base model is never the name.
"""

import posixpath
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from mlbom.collect.scope import Scope, Witness
from mlbom.digest.ignore import VERSION
from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Document, Model, Project, Release, Repository
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method

_HUB_REMOTE = re.compile(
    r"(?:https|ssh)://(?:hf\.co|huggingface\.co)/([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What is known about the release itself before anything is inspected.

    Args:
        version: --release VERSION, or None.
        source_date_epoch: SOURCE_DATE_EPOCH in seconds, or None.
        templates: digest over the templates that the renderers use.
        tool_version: version of mlbom.
        name: the model's name as the user gave it, or None.
    """

    version: str | None
    source_date_epoch: int | None
    templates: Digest
    tool_version: str
    name: str | None = None


def observe_identity(
    scope: Scope, graph: Graph, facts: ReleaseFacts, manifest: Digest, ignored: tuple[str, ...]
) -> Iterator[Observation | Gap]:
    """Yield the model's name, version and purl, and the `Release` node.

    Args:
        scope: the inspection.
        graph: what the collectors said.
        facts: what the user said.
        manifest: dirHash1 of the model tree.
        ignored: the ignore list that manifest and OMS are made with.
    """
    subject = f"model:{scope.model.root}"
    model = graph.node(Model, subject) or Model(id=subject)
    name = yield from _name(scope, graph, model, facts)
    yield from _version(graph, model, facts)
    for field in ("licence", "description", "task"):
        yield from _fallback(graph, model, field)
    version = facts.version or model.version or _tag(graph) or unordered_version(manifest)
    if not model.purl:
        purl = f"pkg:generic/{_quoted(name)}@{_quoted(version)}"
        yield Witness("identity", Method.INFERRED).observes(Model(id=subject, purl=purl))
    yield from _release(scope, graph, facts, manifest, ignored)


def unordered_version(manifest: Digest) -> str:
    """Return the version of an unnumbered release: `0+` and 12 digits of its manifest digest."""
    return f"0+{manifest.value[:12]}"


def _version(graph: Graph, model: Model, facts: ReleaseFacts) -> Iterator[Observation | Gap]:
    witness = Witness("identity", Method.DECLARED)
    tag = _tag(graph)
    if facts.version:
        node = Model(id=model.id, version=facts.version)
        yield witness.by(Method.HUMAN).observes(node, key="--release")
    elif not model.version and tag:
        yield witness.observes(Model(id=model.id, version=tag), key="git tag")
    elif not model.version:
        reason = "no version: no --release, none in a card, no tag on the commit"
        yield witness.misses(model.id, reason, field="version")


def _name(
    scope: Scope, graph: Graph, model: Model, facts: ReleaseFacts
) -> Generator[Observation | Gap, None, str]:
    """Yield the name where the model's own metadata do not state one, and return it."""
    subject = model.id
    witness = Witness("identity", Method.DECLARED)
    if facts.name:
        node = Model(id=subject, name=facts.name)
        yield witness.by(Method.HUMAN).observes(node, key="--model")
        return facts.name
    if model.name:
        return model.name
    for name, producer, key in _ladder(scope, graph):
        yield witness.observes(Model(id=subject, name=name, producer=producer), key=key)
        return name
    last = scope.path.name if scope.model.name == "." else posixpath.basename(scope.model.name)
    name = last if scope.model.is_directory else posixpath.splitext(last)[0]
    yield witness.by(Method.INFERRED).observes(Model(id=subject, name=name), key="folder")
    return name


def _ladder(scope: Scope, graph: Graph) -> Iterator[tuple[str, str | None, str]]:
    """Yield (name, producer, where it is stated), best first."""
    for repository in graph.nodes(Repository):
        for remote in repository.remotes:
            match = _HUB_REMOTE.fullmatch(remote)
            if match:
                yield match[2], match[1], "git remote"
    for project in graph.nodes(Project):
        if project.name:
            yield project.name, None, "pyproject.toml project.name"
    for folder in (scope.model.root, "."):
        readme = graph.node(Document, f"doc:{posixpath.normpath(folder + '/README.md')}")
        if readme and readme.title:
            yield readme.title, None, "README.md first heading"


def _fallback(graph: Graph, model: Model, field: str) -> Iterator[Observation | Gap]:
    """Yield a field of the project for a model that states none itself, or the gap."""
    if getattr(model, field):
        return
    witness = Witness("identity", Method.INFERRED)
    for project in graph.nodes(Project):
        value = getattr(project, field, None)
        if value:
            yield witness.observes(Model(id=model.id, **{field: value}), key=f"project.{field}")
            return
    if field == "licence" and (texts := _licence_texts(graph)):
        # Several texts that differ are several witnesses: the graph shows the contradiction.
        declaring = witness if len(texts) == 1 else witness.by(Method.DECLARED)
        for document in texts:
            node = Model(id=model.id, licence=document.licence)
            yield declaring.at(document.path or "").observes(node, key="text")
        return
    if any(gap.subject == model.id and gap.field == field for gap in graph.gaps):
        return
    yield witness.misses(model.id, f"nobody states the model's {field}", field=field)


def _licence_texts(graph: Graph) -> tuple[Document, ...]:
    """Return the licence texts beside the model, else those of the project."""
    texts = [d for d in graph.nodes(Document) if d.kind == "licence" and d.licence]
    root = graph.nodes(Model)[0].id.removeprefix("model:")
    own = [d for d in texts if posixpath.dirname(d.path or "") == root]
    return tuple(own or texts)


def _tag(graph: Graph) -> str | None:
    for repository in graph.nodes(Repository):
        if repository.tags:
            return repository.tags[-1].removeprefix("v")
    return None


def _release(
    scope: Scope, graph: Graph, facts: ReleaseFacts, manifest: Digest, ignored: tuple[str, ...]
) -> Iterator[Observation | Gap]:
    witness = Witness("identity", Method.MEASURED)
    committed = next((r.commit_time for r in graph.nodes(Repository)), None)
    timestamp = facts.source_date_epoch if facts.source_date_epoch is not None else committed
    yield witness.observes(
        Release(
            model=f"model:{scope.model.root}",
            model_root=scope.model.root,
            version=facts.version or unordered_version(manifest),
            timestamp=timestamp,
            tool_version=facts.tool_version,
            templates=facts.templates,
            manifest=manifest,
            ignored=ignored,
            ignore_version=VERSION,
        )
    )
    if timestamp is None:
        reason = "no time: neither SOURCE_DATE_EPOCH nor a commit; nothing is dated by a clock"
        yield witness.misses("release:", reason, field="timestamp")


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
