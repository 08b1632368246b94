"""Facts of a Hugging Face model directory: identity from the cache, configuration, lineage, code.

`_name_or_path` in config.json names what training started from. It is the base model, never the
identity of the model that lies here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlbom.collect.scope import Scope, Witness
from mlbom.digest.tree import hub_snapshot
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import CodeSurface, Model, Pair
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method
from mlbom.formats.strict_json import parse_json

REPOSITORY_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
# Configuration values that are worth a line in a BOM: they shape what the model can do.
_HYPERPARAMETERS = (
    "hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size "
    "max_position_embeddings vocab_size n_embd n_layer n_head n_positions d_model hidden_act "
    "torch_dtype dtype transformers_version rope_theta sliding_window num_experts num_local_experts"
).split()


class HubCollector:
    """Reads config.json and its companions in the model root."""

    name = "hub"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield what the loader files of a model directory declare."""
        witness = Witness(self.name)
        yield from _cache_identity(scope, witness)
        if not scope.model.is_directory:
            return
        readers = {
            "config.json": _config,
            "adapter_config.json": _adapter,
            "modules.json": _modules,
            "model_index.json": _pipeline,
            "config_sentence_transformers.json": _sentence_transformers,
        }
        for name, reader in readers.items():
            path = scope.in_model(name)
            try:
                data = scope.read_model_file(name)
                told = None if data is None else parse_json(data, path)
            except UnreadableError as error:
                yield witness.at(path).cannot_read(f"file:{name}", error)
                continue
            yield from reader(f"model:{scope.model.root}", told, witness.at(path))


def _cache_identity(scope: Scope, witness: Witness) -> Iterator[Observation]:
    root = scope.path if scope.model.root == "." else scope.path / scope.model.root
    found = hub_snapshot(root)
    if not found:
        return
    repository, commit = found
    namespace, _, name = repository.rpartition("/")
    node = Model(
        id=f"model:{scope.model.root}",
        name=name,
        version=commit,
        producer=namespace or None,
        purl=f"pkg:huggingface/{repository}@{commit}" if namespace else None,
        homepage=f"https://huggingface.co/{repository}",
    )
    yield witness.observes(node, key="cache snapshot")


def _config(subject: str, told: Any, witness: Witness) -> Iterator[Observation | Gap]:  # noqa: ANN401
    if not isinstance(told, Mapping):
        return
    architectures = told.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    architecture = first or told.get("_class_name")
    if isinstance(architecture, str) and architecture:
        key = "architectures" if first else "_class_name"
        yield witness.observes(Model(id=subject, architecture=architecture), key=key)
    family = told.get("model_type")
    if isinstance(family, str) and family:
        yield witness.observes(Model(id=subject, architecture_family=family), key="model_type")
    pairs = tuple(
        Pair(key, str(told[key]))
        for key in _HYPERPARAMETERS
        if isinstance(told.get(key), str | int | float) and not isinstance(told[key], bool)
    )
    if pairs:
        yield witness.observes(Model(id=subject, hyperparameters=pairs))
    yield from _base(subject, told.get("_name_or_path"), "_name_or_path", witness)
    yield from _remote_code(told.get("auto_map"), witness)


def _adapter(subject: str, told: Any, witness: Witness) -> Iterator[Observation | Gap]:  # noqa: ANN401
    if not isinstance(told, Mapping):
        return
    yield witness.observes(Model(id=subject, library="peft", base_relation="adapter"))
    key = "base_model_name_or_path"
    yield from _base(subject, told.get(key), key, witness)
    yield from _remote_code(told.get("auto_mapping"), witness)


def _modules(subject: str, told: Any, witness: Witness) -> Iterator[Observation | Gap]:  # noqa: ANN401
    parts = told if isinstance(told, list) else []
    types = [p["type"] for p in parts if isinstance(p, dict) and isinstance(p.get("type"), str)]
    if any(t.startswith("sentence_transformers.") for t in types):
        yield witness.observes(Model(id=subject, library="sentence-transformers"))
    if types:
        pair = Pair("modules", " -> ".join(t.rsplit(".", 1)[-1] for t in types))
        yield witness.observes(Model(id=subject, hyperparameters=(pair,)))


def _pipeline(subject: str, told: Any, witness: Witness) -> Iterator[Observation | Gap]:  # noqa: ANN401
    if isinstance(told, Mapping) and isinstance(told.get("_class_name"), str):
        node = Model(id=subject, library="diffusers", architecture=told["_class_name"])
        yield witness.observes(node, key="_class_name")


def _sentence_transformers(
    subject: str,
    told: Any,  # noqa: ANN401 - parsed JSON
    witness: Witness,
) -> Iterator[Observation | Gap]:
    versions = told.get("__version__") if isinstance(told, Mapping) else None
    if isinstance(versions, Mapping):
        pairs = tuple(
            Pair(f"trained-with:{name}", version)
            for name, version in versions.items()
            if isinstance(version, str)
        )
        if pairs:
            yield witness.observes(Model(id=subject, hyperparameters=pairs), key="__version__")


def _base(
    subject: str,
    told: object,
    key: str,
    witness: Witness,
) -> Iterator[Observation | Gap]:
    """Yield the base model that a configuration names, if it is a name and not a local path."""
    if isinstance(told, str) and REPOSITORY_ID.fullmatch(told):
        inferring = witness.by(Method.INFERRED)
        yield inferring.observes(Model(id=subject, base_models=(told,)), key=key)


def _remote_code(told: object, witness: Witness) -> Iterator[Observation]:
    names = tuple(f"{k}: {v}" for k, v in told.items()) if isinstance(told, Mapping) else ()
    if names:
        node = CodeSurface(
            id=f"code:{witness.path}", path=witness.path, kind="auto-map", names=names
        )
        yield witness.by(Method.MEASURED).observes(node, key="auto_map")
