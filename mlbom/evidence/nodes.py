"""The things that evidence is about: one frozen class for each, together the closed union `Node`.

A node carries what one witness says. `None` and `()` mean "this witness does not say": what nobody
knows is a `Gap` in the graph, never an empty field of an output. Fields marked EXACT (paths,
digests, purls, commits) are never rewritten by the guard; all other text is redacted when read.

Units: `nbytes` bytes, `*_time` seconds since 1970 UTC, `*_count` and `parameters` plain counts.
"""

from dataclasses import dataclass

from mlbom.evidence.digest import Digest
from mlbom.evidence.run import Metric, Reproduction, Run
from mlbom.evidence.values import EXACT, Count, Pair, exact

__all__ = [
    "EXACT",
    "HUB_DATASET_URL",
    "NODE_TYPES",
    "Accelerator",
    "CodeSurface",
    "Count",
    "Dataset",
    "Document",
    "Environment",
    "File",
    "Item",
    "Metric",
    "Model",
    "Node",
    "Package",
    "Pair",
    "Project",
    "Release",
    "Repository",
    "Reproduction",
    "Run",
    "Runtime",
    "Value",
    "Weights",
]

HUB_DATASET_URL = "https://huggingface.co/datasets/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What this release is and how it was made; id `release:`. Renderers read it first."""

    id: str = exact("release:")
    model: str | None = exact()
    model_root: str | None = exact()
    version: str | None = None
    timestamp: int | None = None
    tool_version: str | None = exact()
    templates: Digest | None = None
    manifest: Digest | None = None
    ignored: tuple[str, ...] = exact(())
    ignore_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The software project around the model; id `project:`."""

    id: str = exact("project:")
    name: str | None = None
    version: str | None = None
    description: str | None = None
    licence: str | None = None
    authors: tuple[str, ...] = ()
    homepage: str | None = None
    doi: str | None = None
    requires_python: str | None = None
    requirements: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository; id `git:`. `dirty` counts PATH only (chain.md section 1)."""

    id: str = exact("git:")
    state: str | None = None
    commit: str | None = exact()
    commit_time: int | None = None
    branch: str | None = None
    path: str | None = exact()
    tags: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ()
    dirty: bool | None = None
    changed: tuple[str, ...] = exact(())
    submodules: tuple[Pair, ...] = ()
    lfs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python environment in one role: train, eval, data or release; id `env:ROLE`.

    Where recorded runs of one role differ in their environments, those after the first are
    `env:ROLE:ID8`.
    """

    id: str = exact()
    role: str | None = None
    found_by: str | None = None
    python_version: str | None = None
    implementation: str | None = None
    platform: str | None = None
    operating_system: str | None = None
    kernel: str | None = None
    package_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed Python distribution; id is its purl."""

    id: str = exact()
    name: str | None = exact()
    version: str | None = exact()
    summary: str | None = None
    licence: str | None = None
    licence_source: str | None = None
    author: str | None = None
    homepage: str | None = None
    source: str | None = None
    wheel: Digest | None = None
    record: Digest | None = None
    depends_on: tuple[str, ...] = exact(())
    extras: tuple[Pair, ...] = ()
    environments: tuple[str, ...] = exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A native layer below the packages: torch build, CUDA, cuDNN, driver; id `runtime:NAME`."""

    id: str = exact()
    name: str | None = None
    version: str | None = None
    kind: str | None = None
    build: tuple[Pair, ...] = ()
    package: str | None = exact()
    environments: tuple[str, ...] = exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """An accelerator model of the inspected host; id `accelerator:NAME`."""

    id: str = exact()
    name: str | None = None
    vendor: str | None = None
    device_count: int | None = None
    nbytes: int | None = None
    compute_capability: str | None = None
    driver_version: str | None = None
    environments: tuple[str, ...] = exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model of the release; id `model:` and its root relative to PATH."""

    id: str = exact()
    name: str | None = None
    version: str | None = None
    purl: str | None = exact()
    description: str | None = None
    licence: str | None = None
    producer: str | None = None
    homepage: str | None = None
    task: str | None = None
    library: str | None = None
    architecture: str | None = None
    architecture_family: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    base_pins: tuple[Pair, ...] = exact(())
    base_relation: str | None = None
    datasets: tuple[str, ...] = exact(())
    parameters: int | None = None
    dtypes: tuple[Count, ...] = ()
    formats: tuple[str, ...] = ()
    hyperparameters: tuple[Pair, ...] = ()
    intended_use: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    ethical: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    file_count: int | None = None
    nbytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the model tree; id `file:` and its path relative to the model root."""

    id: str = exact()
    path: str | None = exact()
    role: str | None = None
    nbytes: int | None = None
    digests: tuple[Digest, ...] = ()
    link: str | None = exact()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The tensors of one weight file or of one sharded index; id `weights:` and the path."""

    id: str = exact()
    path: str | None = exact()
    format: str | None = None
    parameters: int | None = None
    tensor_count: int | None = None
    dtypes: tuple[Count, ...] = ()
    shapes: tuple[Count, ...] = ()
    tensors: Digest | None = None
    shards: tuple[str, ...] = exact(())
    metadata: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSurface:
    """Code that loading a file can run; id `code:` and its path."""

    id: str = exact()
    path: str | None = exact()
    kind: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset, local or named; id `data:` and its name or path."""

    id: str = exact()
    name: str | None = None
    version: str | None = exact()
    revision: str | None = exact()
    pinned: bool | None = None
    path: str | None = exact()
    url: str | None = None
    licence: str | None = None
    description: str | None = None
    sources: tuple[Pair, ...] = ()
    languages: tuple[str, ...] = ()
    file_count: int | None = None
    nbytes: int | None = None
    manifest: Digest | None = None
    formats: tuple[Count, ...] = ()
    uses: tuple[str, ...] = ()
    read_by: tuple[str, ...] = exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document about the project: licence, readme, card, citation; id `doc:` and its path."""

    id: str = exact()
    path: str | None = exact()
    kind: str | None = None
    title: str | None = None
    licence: str | None = None
    digest: Digest | None = None
    nbytes: int | None = None


Node = (
    Release
    | Project
    | Repository
    | Environment
    | Package
    | Runtime
    | Accelerator
    | Model
    | File
    | Weights
    | CodeSurface
    | Dataset
    | Document
    | Metric
    | Run
    | Reproduction
)
NODE_TYPES: tuple[type[Node], ...] = Node.__args__
Item = str | Digest | Count | Pair
Value = str | int | float | bool | Digest | tuple[Item, ...]
