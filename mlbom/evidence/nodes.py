"""The things that evidence is about: one frozen class for each, together the closed union `Node`.

A node carries what one witness says. `None` and `()` mean "this witness does not say": what nobody
knows is a `Gap` in the graph, never an empty field of an output. Fields marked EXACT (paths,
digests, purls, commits) are never rewritten by the guard; all other text is redacted when read.

Units: `nbytes` bytes, `*_time` seconds since 1970 UTC, `*_count` and `parameters` plain counts.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mlbom.evidence.digest import Digest

HUB_DATASET_URL = "https://huggingface.co/datasets/"
EXACT = MappingProxyType({"exact": True})


def _exact(default: Any = None) -> Any:  # noqa: ANN401 - mirrors dataclasses.field
    return field(default=default, metadata=EXACT)


@dataclass(frozen=True, slots=True, order=True)
class Count:
    """A named count, for histograms: dtype -> elements, shape -> tensors."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A named text, for facts whose names another project chose: build flags, file metadata."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What this release is and how it was made; id `release:`. Renderers read it first."""

    id: str = _exact("release:")
    model: str | None = _exact()
    model_root: str | None = _exact()
    version: str | None = None
    timestamp: int | None = None
    tool_version: str | None = _exact()
    templates: Digest | None = None
    manifest: Digest | None = None
    ignored: tuple[str, ...] = _exact(())
    ignore_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The software project around the model; id `project:`."""

    id: str = _exact("project:")
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

    id: str = _exact("git:")
    state: str | None = None
    commit: str | None = _exact()
    commit_time: int | None = None
    branch: str | None = None
    path: str | None = _exact()
    tags: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ()
    dirty: bool | None = None
    changed: tuple[str, ...] = _exact(())
    submodules: tuple[Pair, ...] = ()
    lfs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python environment in one role: train, eval or release; id `env:ROLE`."""

    id: str = _exact()
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

    id: str = _exact()
    name: str | None = _exact()
    version: str | None = _exact()
    summary: str | None = None
    licence: str | None = None
    licence_source: str | None = None
    author: str | None = None
    homepage: str | None = None
    source: str | None = None
    wheel: Digest | None = None
    record: Digest | None = None
    depends_on: tuple[str, ...] = _exact(())
    extras: tuple[Pair, ...] = ()
    environments: tuple[str, ...] = _exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A native layer below the packages: torch build, CUDA, cuDNN, driver; id `runtime:NAME`."""

    id: str = _exact()
    name: str | None = None
    version: str | None = None
    kind: str | None = None
    build: tuple[Pair, ...] = ()
    package: str | None = _exact()
    environments: tuple[str, ...] = _exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """An accelerator model of the inspected host; id `accelerator:NAME`."""

    id: str = _exact()
    name: str | None = None
    vendor: str | None = None
    device_count: int | None = None
    nbytes: int | None = None
    compute_capability: str | None = None
    driver_version: str | None = None
    environments: tuple[str, ...] = _exact(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model of the release; id `model:` and its root relative to PATH."""

    id: str = _exact()
    name: str | None = None
    version: str | None = None
    purl: str | None = _exact()
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
    base_relation: str | None = None
    datasets: tuple[str, ...] = _exact(())
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

    id: str = _exact()
    path: str | None = _exact()
    role: str | None = None
    nbytes: int | None = None
    digests: tuple[Digest, ...] = ()
    link: str | None = _exact()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The tensors of one weight file or of one sharded index; id `weights:` and the path."""

    id: str = _exact()
    path: str | None = _exact()
    format: str | None = None
    parameters: int | None = None
    tensor_count: int | None = None
    dtypes: tuple[Count, ...] = ()
    shapes: tuple[Count, ...] = ()
    tensors: Digest | None = None
    shards: tuple[str, ...] = _exact(())
    metadata: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSurface:
    """Code that loading a file can run; id `code:` and its path."""

    id: str = _exact()
    path: str | None = _exact()
    kind: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset, local or named; id `data:` and its name or path."""

    id: str = _exact()
    name: str | None = None
    version: str | None = _exact()
    pinned: bool | None = None
    path: str | None = _exact()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document about the project: licence, readme, card, citation; id `doc:` and its path."""

    id: str = _exact()
    path: str | None = _exact()
    kind: str | None = None
    title: str | None = None
    licence: str | None = None
    digest: Digest | None = None
    nbytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number reported for the model; id `metric:` and task, dataset, split, name."""

    id: str = _exact()
    name: str | None = None
    label: str | None = None
    value: float | None = None
    dataset: str | None = None
    dataset_type: str | None = None
    split: str | None = None
    task: str | None = None
    lower: float | None = None
    upper: float | None = None


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
)
NODE_TYPES: tuple[type[Node], ...] = Node.__args__
Item = str | Digest | Count | Pair
Value = str | int | float | bool | Digest | tuple[Item, ...]
