"""Model cards: Hugging Face front matter and body (README.md), and modelcard.yaml."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mlbom.collect.hub import REPOSITORY_ID
from mlbom.collect.licences import licence_expression
from mlbom.collect.scope import Scope, Witness, shortened, texts
from mlbom.errors import LimitError, UnreadableError
from mlbom.evidence.nodes import HUB_DATASET_URL, Dataset, Metric, Model
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method
from mlbom.formats.strict_yaml import parse_yaml

# More datasets or metrics than this no card of a real model names.
_MOST = 1000
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


class CardsCollector:
    """Reads what the people who made the model say about it."""

    name = "cards"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield the facts of README.md's front matter and of modelcard.yaml."""
        witness = Witness(self.name)
        subject = f"model:{scope.model.root}"
        path = scope.in_model("README.md")
        data = scope.read_model_file("README.md")
        if data is None and scope.has_file("README.md"):
            path, data = "README.md", scope.read_bytes("README.md")
        if data is not None:
            text = data.decode("utf-8-sig", errors="replace")
            yield from _hugging_face_card(subject, text, witness.at(path))
        for path in dict.fromkeys((scope.in_model("modelcard.yaml"), "modelcard.yaml")):
            if scope.has_file(path):
                yield from _team_card(subject, scope.read_bytes(path), witness.at(path))
                return


def split_front_matter(text: str) -> tuple[str, str]:
    """Return (YAML front matter, body) of a Markdown text; the first is empty without one."""
    match = _FRONT_MATTER.match(text)
    return (match[1], text[match.end() :]) if match else ("", text)


def _hugging_face_card(subject: str, text: str, witness: Witness) -> Iterator[Observation | Gap]:
    front, body = split_front_matter(text)
    description = _first_paragraph(body)
    if description:
        inferring = witness.by(Method.INFERRED)
        yield inferring.observes(Model(id=subject, description=description), key="body")
    if not front:
        return
    try:
        told = parse_yaml(front.encode(), witness.path)
    except UnreadableError as error:
        yield witness.cannot_read(f"doc:{witness.path}", error)
        return
    if not isinstance(told, Mapping):
        return
    yield from _declared(subject, witness, told, _FRONT_MATTER_FIELDS)
    yield from _hub_licence(subject, told, witness)
    base = texts(told.get("base_model"))
    if base:
        yield witness.observes(Model(id=subject, base_models=base), key="base_model")
    names = texts(told.get("datasets"))
    for name in names[:_MOST]:
        yield from _named_dataset(subject, name, witness)
    if len(names) > _MOST:
        limit = LimitError(f"the card names {len(names)} datasets, of which {_MOST} were read")
        yield witness.cannot_read(f"doc:{witness.path}", limit)
    yield from islice(_model_index(told.get("model-index"), witness), _MOST)


_FRONT_MATTER_FIELDS = {
    "library": "library_name",
    "task": "pipeline_tag",
    "languages": "language",
    "tags": "tags",
    "base_relation": "base_model_relation",
    "name": "model_name",
}
_TEAM_CARD_FIELDS = {
    "name": "model_name",
    "version": "version",
    "description": "description",
    "task": "task",
    "languages": "language",
    "architecture": "architecture",
    "producer": "developed_by",
    "intended_use": "intended_use",
    "out_of_scope": "out_of_scope",
    "limitations": "limitations",
    "ethical": "ethical_considerations",
    "users": "users",
}
_SETS = ("languages", "tags", "intended_use", "out_of_scope", "limitations", "ethical", "users")


def _declared(
    subject: str, witness: Witness, told: Mapping[str, Any], fields: Mapping[str, str]
) -> Iterator[Observation]:
    """Yield one observation for each field that the mapping states, keyed by its YAML key."""
    for field, key in fields.items():
        found: Any = texts(told.get(key))
        if not found and field == "version" and isinstance(told.get(key), int | float):
            found = (str(told[key]),)
        if found:
            value = found if field in _SETS else found[0]
            yield witness.observes(Model(id=subject, **{field: value}), key=key)


def _licence(subject: str, told: object, key: str, witness: Witness) -> Iterator[Observation | Gap]:
    for text in texts(told):
        expression = licence_expression(text)
        if expression:
            yield witness.observes(Model(id=subject, licence=expression), key=key)
        else:
            reason = f"{text!r} is no SPDX licence expression"
            yield witness.misses(subject, reason, field="licence")


def _hub_licence(
    subject: str, told: Mapping[str, Any], witness: Witness
) -> Iterator[Observation | Gap]:
    """Yield the licence of a card; `other` has its name in `license_name` (Hub metadata)."""
    names = texts(told.get("license_name"))
    if names and texts(told.get("license")) == ("other",):
        reference = "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", names[0]).strip("-")
        yield witness.observes(Model(id=subject, licence=reference), key="license_name")
        return
    yield from _licence(subject, told.get("license"), "license", witness)


def _named_dataset(subject: str, name: str, witness: Witness) -> Iterator[Observation]:
    name = " ".join(name.split())
    identifier = f"data:{name}"
    url = HUB_DATASET_URL + name if REPOSITORY_ID.fullmatch(name) else None
    node = Dataset(id=identifier, name=name, url=url, pinned=False)
    yield witness.observes(node, key="datasets")
    yield witness.observes(Model(id=subject, datasets=(identifier,)), key="datasets")


def _model_index(told: object, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the metrics of a `model-index` (Hugging Face model card metadata)."""
    for entry in told if isinstance(told, list) else ():
        results = entry.get("results") if isinstance(entry, Mapping) else None
        for result in results if isinstance(results, list) else ():
            if not isinstance(result, Mapping):
                continue
            dataset, task = result.get("dataset"), result.get("task")
            context = _Context(
                dataset=_text(dataset, "name") or _text(dataset, "type"),
                dataset_type=_text(dataset, "type"),
                split=_text(dataset, "split"),
                task=_text(task, "type"),
            )
            metrics = result.get("metrics")
            for metric in metrics if isinstance(metrics, list) else ():
                yield from _metric(metric, context, witness)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What metrics were measured on; empty texts where a card does not say."""

    dataset: str
    dataset_type: str = ""
    split: str = ""
    task: str = ""


def _text(told: object, key: str) -> str:
    value = told.get(key) if isinstance(told, Mapping) else None
    return str(value) if isinstance(value, str | int | float) else ""


def _metric(told: object, context: _Context, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield a metric with `type` or `name`, a number as `value`, and perhaps an interval."""
    name = _text(told, "type") or _text(told, "name")
    if not name or not isinstance(told, Mapping):
        return
    value = _number(told.get("value"))
    split = context.split or _text(told, "split")
    subject = f"metric:{context.task}/{context.dataset}/{split}/{name}"
    if value is None:
        yield witness.misses(subject, f"the value of {name} is not a finite number", field="value")
        return
    label = _text(told, "name")
    node = Metric(
        id=subject,
        name=name,
        label=label if label != name else None,
        value=value,
        dataset=context.dataset or None,
        dataset_type=context.dataset_type or None,
        split=split or None,
        task=context.task or None,
        lower=_number(told.get("lower")),
        upper=_number(told.get("upper")),
    )
    yield witness.observes(node, key="metrics")


def _number(told: object) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    try:
        value = float(told)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _team_card(subject: str, data: bytes, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the facts of a small team's modelcard.yaml."""
    try:
        told = parse_yaml(data, witness.path)
    except UnreadableError as error:
        yield witness.cannot_read(f"doc:{witness.path}", error)
        return
    if not isinstance(told, Mapping):
        return
    yield from _declared(subject, witness, told, _TEAM_CARD_FIELDS)
    yield from _licence(subject, told.get("license"), "license", witness)
    datasets = told.get("training_data")
    for entry in datasets if isinstance(datasets, list) else ():
        name = entry.get("dataset") if isinstance(entry, Mapping) else entry
        if isinstance(name, str) and name:
            yield from _training_dataset(subject, name, entry, witness)
    metrics = told.get("metrics")
    for metric in metrics if isinstance(metrics, list) else ():
        context = _Context(dataset=_text(metric, "dataset"), task=_text(told, "task"))
        yield from _metric(metric, context, witness)


def _training_dataset(
    subject: str, name: str, entry: object, witness: Witness
) -> Iterator[Observation | Gap]:
    identifier = f"data:{name}"
    told = entry if isinstance(entry, Mapping) else {}
    version, licence = told.get("version"), licence_expression(str(told.get("license") or ""))
    node = Dataset(
        id=identifier, name=name, version=str(version) if version else None, licence=licence
    )
    yield witness.observes(node, key="training_data")
    yield witness.observes(Model(id=subject, datasets=(identifier,)), key="training_data")


def _first_paragraph(body: str) -> str:
    """Return the first paragraph of prose of a Markdown body, as plain text of 500 characters."""
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"^(```|~~~).*?^\1", "", body, flags=re.DOTALL | re.MULTILINE)
    lines = (line for line in body.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        plain = " ".join(paragraph.split())
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
        plain = re.sub(r"[`*_]{1,3}(\S[^`*_]*)[`*_]{1,3}", r"\1", plain)
        if re.search(r"\w+\s+\w+\s+\w+", plain) and not plain.startswith(("<", "|", "-", "!")):
            return shortened(plain, 500)
    return ""
