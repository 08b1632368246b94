"""Whether somebody who was there states how the weights were trained."""

import posixpath
import re
from collections.abc import Collection, Mapping

from mlbom.attest.run_claim import EMPTY
from mlbom.attest.subjects import ReleaseSubjects
from mlbom.formats.weight_names import WEIGHT_SUFFIXES
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.chain.lineage import Lineage, ModelFiles, told_names
from mlbom.verify.chain.steps import Step
from mlbom.verify.kinds import DATA, STEP, TRAIN
from mlbom.verify.verdict import Ledger, counted

EDGE_TRAINING = "training"
_CHECKED = "signed records of what made each weight file"
# Endings that loaders take for weights, whatever stands before them. The closing statement says
# which files are weights; whoever stole its key must not pass weights off as something else.
_WEIGHTS = (*WEIGHT_SUFFIXES, ".bin", ".pb")
# Records of steps that may turn trained weights into others, such as a conversion.
_DERIVING = (DATA, STEP, TRAIN)
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
) -> Mapping[str, frozenset[str]]:
    """Return the weight files that a training run made, or that a step made from its weights.

    Whoever may only state something else, such as an evaluation or a reproduction, cannot make
    training of it: a step between needs a data role, and reads weights that the step before wrote.

    Args:
        lineage: the joined steps.
        model: the files of the model.
        training: the steps that count as training.

    Returns:
        the labels of the steps that derived each file from what the training made, by SHA-256;
        none when the training made the file itself.
    """
    by_label = {step.label: step for step in lineage.steps}
    counting = frozenset(step.label for step in training)
    before = _makers_of_weights(lineage)
    found: dict[str, frozenset[str]] = {}
    for step in lineage.steps:
        between = _derivation(step, counting, by_label, before)
        if between is None:
            continue
        for sha256 in step.about_digests & model.weights.keys():
            found[sha256] = min(found.get(sha256, between), between, key=len)
    return found


def tell_training(ledger: Ledger, lineage: Lineage, model: ModelFiles | None) -> bool:
    """Note whether records of the training cover the weights, and return whether all of them."""
    weights = model.weights if model else {}
    training = [step for step in lineage.steps if step.kind is TRAIN]
    covered = trained_weights(lineage, model, training) if model else {}
    missing = sorted(path for sha256, path in weights.items() if sha256 not in covered)
    if not covered:
        ledger.not_checked(EDGE_TRAINING, _CHECKED, "not attested")
    elif missing:
        known = f"{len(weights) - len(missing)} of {counted(len(weights), 'weight file')}"
        why = f"attested for {known}, not for {missing[0]}"
        ledger.not_checked(EDGE_TRAINING, _CHECKED, why)
    else:
        between = sorted({label for labels in covered.values() for label in labels})
        derived = f", derived by {told_names(between)}" if between else ""
        why = f"attested for {counted(len(weights), 'weight file')}{derived}"
        ledger.held(EDGE_TRAINING, _CHECKED, why)
    return bool(covered) and not missing


def _derivation(
    step: Step,
    counting: Collection[str],
    by_label: Mapping[str, Step],
    before: Mapping[str, Collection[str]],
) -> frozenset[str] | None:
    """Return the labels of the steps from a training to this one, or None without a training."""
    trained = False
    between: set[str] = set()
    pending = [step.label]
    while pending:
        label = pending.pop()
        reached = by_label[label]
        if reached.failure or reached.is_evaluation or label in between:
            continue
        if label in counting:
            trained = True
        elif reached.kind in _DERIVING:
            between.add(label)
            pending.extend(before.get(label, ()))
    return frozenset(between) if trained else None


def _makers_of_weights(lineage: Lineage) -> Mapping[str, Collection[str]]:
    """Return the steps whose weights each step read, by label; not those of its logs alone."""
    written = {
        step.label: {sha256 for name, sha256 in step.wrote if _is_weight_name(name)}
        for step in lineage.steps
    }
    before: dict[str, set[str]] = {}
    for (label, sha256), makers in lineage.makers.items():
        weights = (maker for maker in makers if sha256 in written.get(maker, ()))
        before.setdefault(label, set()).update(weights)
    return before


def _is_weight_name(path: str) -> bool:
    name = posixpath.basename(path)
    return name.lower().endswith(_WEIGHTS) and not _TRAINING_STATE.fullmatch(name)
