"""Whether somebody who was there states how the weights were trained."""

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping

from mlbom.attest.subjects import ReleaseSubjects
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.chain.lineage import Lineage, ModelFiles
from mlbom.verify.chain.steps import EMPTY, Step
from mlbom.verify.kinds import TRAIN
from mlbom.verify.verdict import Ledger, counted

EDGE_TRAINING = "training"
_CHECKED = "signed records of what made each weight file"
# Names that loaders take for weights. The closing statement says which files are weights; whoever
# stole its key must not pass weights off as something else.
_WEIGHTS = re.compile(
    r".+\.(safetensors|bin|pth?|pt2|pte|ckpt|gguf|onnx|h5|keras|tflite|pkl|pickle|joblib|msgpack"
    r"|nemo|mar|engine|plan|mlmodel|npz|ot|pb)",
    re.IGNORECASE,
)
_TRAINING_STATE = re.compile(r"(optimizer|scheduler|rng_state|scaler|training_args)\W.*")


def model_files(manifest: Manifest, subjects: ReleaseSubjects) -> ModelFiles:
    """Return the files of a model by digest, and which of them are weights.

    A digest stands for one path although several files may share it.
    """
    files = {path: sha256 for path, sha256 in manifest.files.items() if sha256 != EMPTY}
    weights = {p for p in files if p in subjects.model_files or _is_weight_name(p)}
    return ModelFiles(
        all={sha256: path for path, sha256 in files.items()},
        weights={files[path]: path for path in sorted(weights)},
    )


def trained_weights(
    lineage: Lineage, model: ModelFiles, training: Collection[Step]
) -> frozenset[str]:
    """Return the SHA-256 of each weight file that a training run made, or a step made from one.

    Args:
        lineage: the joined steps.
        model: the files of the model.
        training: the steps that count as training.
    """
    by_label = {step.label: step for step in lineage.steps}
    counting = frozenset(step.label for step in training)
    good = [step for step in lineage.steps if not step.failure and not step.is_evaluation]
    makers = (s for s in good if counting & _with_ancestors(s, lineage, by_label))
    return frozenset(d for step in makers for d in step.about_digests & model.weights.keys())


def tell_training(ledger: Ledger, lineage: Lineage, model: ModelFiles | None) -> bool:
    """Note whether records of the training cover the weights, and return whether all of them."""
    weights = model.weights if model else {}
    training = [step for step in lineage.steps if step.kind is TRAIN]
    covered = trained_weights(lineage, model, training) if model else frozenset()
    missing = sorted(path for sha256, path in weights.items() if sha256 not in covered)
    if not covered:
        ledger.not_checked(EDGE_TRAINING, _CHECKED, "not attested")
    elif missing:
        known = f"{len(weights) - len(missing)} of {counted(len(weights), 'weight file')}"
        why = f"attested for {known}, not for {missing[0]}"
        ledger.not_checked(EDGE_TRAINING, _CHECKED, why)
    else:
        why = f"attested for {counted(len(weights), 'weight file')}"
        ledger.held(EDGE_TRAINING, _CHECKED, why)
    return bool(covered) and not missing


def _with_ancestors(step: Step, lineage: Lineage, by_label: Mapping[str, Step]) -> set[str]:
    """Return a step and all that it comes from, over steps that did not fail."""
    seen: set[str] = set()
    pending = [step.label]
    while pending:
        label = pending.pop()
        if label not in seen and not by_label[label].failure:
            seen.add(label)
            pending.extend(_before(by_label[label], lineage))
    return seen


def _before(step: Step, lineage: Lineage) -> Iterable[str]:
    for _, sha256 in step.files_read:
        yield from lineage.makers.get((step.label, sha256), ())


def _is_weight_name(path: str) -> bool:
    name = posixpath.basename(path)
    return bool(_WEIGHTS.fullmatch(name)) and not _TRAINING_STATE.fullmatch(name)
