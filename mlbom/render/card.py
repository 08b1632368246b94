"""MODEL_CARD.md in Hugging Face form: front matter that the Hub accepts, and a readable body."""

import re
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import HUB_DATASET_URL, Dataset, Metric, Model
from mlbom.render.cited import stated
from mlbom.render.cyclonedx_parts import number_text
from mlbom.render.document import Document
from mlbom.render.recorded import grams_emitted
from mlbom.render.templates import render_template
from mlbom.render.view import View, shown, view_of


class CardRenderer:
    """Renders MODEL_CARD.md."""

    def __init__(self, spec: str) -> None:
        del spec  # the same for every version of the BOM

    def render(self, graph: Graph) -> Document:
        """Return the model card."""
        view = view_of(graph)
        text = render_template(
            "model-card.md.jinja", v=view, number=number_text, shown=shown, front=front_matter(view)
        )
        text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
        return Document("MODEL_CARD.md", "text/markdown; charset=utf-8", text.encode())


def front_matter(view: View) -> str:
    """Return the YAML front matter (Hugging Face Hub, model card metadata), without the dashes."""
    import yaml

    model = view.model
    trainings = {step.run.id for step in view.trainings}
    # What training reports on its way, a loss say, is no result of the model.
    results = tuple(m for m in view.metrics if m.run not in trainings)
    told = stated(
        {
            **_licence(model.licence),
            "language": list(model.languages),
            "library_name": model.library,
            "pipeline_tag": model.task if model.task and " " not in model.task else None,
            "tags": list(model.tags),
            "base_model": list(model.base_models),
            "base_model_relation": model.base_relation if model.base_models else None,
            "datasets": [name for d in view.datasets if (name := _hub_name(d, view))],
            "metrics": sorted({m.name for m in results if m.name}),
            "co2_eq_emissions": _emissions(view),
            "model-index": _model_index(model, results),
        }
    )
    text: str = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000)
    return text if told else ""


def _licence(expression: str | None) -> dict[str, str]:
    """Return `license`, and `license_name` where the Hub has no name for it."""
    if not expression:
        return {}
    plain = expression.removeprefix("LicenseRef-").lower()
    if " " not in plain:
        return {"license": re.sub(r"-(only|or-later)$", "", plain)}
    return {"license": "other", "license_name": expression}


def _hub_name(dataset: Dataset, view: View) -> str | None:
    """Return the name of a dataset of the Hub that the model was trained on."""
    if dataset.id not in view.model.datasets or not (dataset.url or "").startswith(HUB_DATASET_URL):
        return None
    evaluations = {step.run.id for step in view.steps if step.run.kind == "eval"}
    only_evaluated = dataset.read_by and not dataset.uses and evaluations >= set(dataset.read_by)
    return None if only_evaluated else dataset.name


def _emissions(view: View) -> dict[str, Any] | None:
    """Return the emissions of training, in grams as the Hub wants them."""
    grams = grams_emitted(view.trainings)
    if grams is None:
        return None
    hardware = {f"{c.number} x {c.name}" for s in view.trainings for c in s.run.accelerators}
    return stated(
        {
            "emissions": grams,
            "source": "energy measured during the recorded runs, times the grid factor configured",
            "training_type": "fine-tuning" if view.model.base_models else "pre-training",
            "hardware_used": ", ".join(sorted(hardware)) or None,
        }
    )


def _model_index(model: Model, metrics: tuple[Metric, ...]) -> list[dict[str, Any]]:
    """Return the results in the form that the Hub shows beside a model."""
    results = [
        {
            "task": {"type": (metric.task or model.task or "other").replace(" ", "-")},
            "dataset": {
                "name": metric.dataset or "unknown",
                "type": metric.dataset_type or metric.dataset or "unknown",
                **({"split": metric.split} if metric.split else {}),
            },
            "metrics": [stated({"type": metric.name, "name": metric.label, "value": metric.value})],
        }
        for metric in metrics
    ]
    return [{"name": model.name, "results": results}] if results else []
