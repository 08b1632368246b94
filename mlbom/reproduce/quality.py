"""Which metrics tell the quality of a model: counters, settings and times do not."""

import re

# The last word of a name, after its path: `train/global_step`, `eval_samples_per_second`.
_NO_QUALITY = frozenset(
    "epoch epochs step steps iteration iterations seed seeds parameter parameters params lr "
    "sample samples batches time seconds second minutes hours ms runtime duration timestamp flos "
    "throughput".split()
)
# `train_loss_step` and `val_acc_epoch` are measured over one, and no count of them.
_QUALITY = frozenset(
    "loss acc accuracy error score f1 auc precision recall perplexity ppl bleu rouge mse mae rmse "
    "reward".split()
)
_PHRASES = ("learning_rate", "batch_size")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_APART = re.compile(r"[^a-z0-9]+")


def is_quality(name: str) -> bool:
    """Return whether a metric can tell how good a model is, by its name."""
    last = re.split(r"[/.:]", name.strip("/.: "))[-1]
    words = [word for word in _APART.split(_CAMEL.sub("_", last).lower()) if word]
    if not words or words[0] in ("num", "n"):
        return False
    if not _QUALITY.isdisjoint(words):
        return True
    return words[-1] not in _NO_QUALITY and not "_".join(words).endswith(_PHRASES)
