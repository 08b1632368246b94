"""Names by which files of weights are known, for whoever looks for them and whoever verifies."""

import posixpath
import re

# A `.bin` or `.pb` file holds weights under some names only; each reader says which.
WEIGHT_SUFFIXES = tuple(
    (
        ".safetensors .pt .pth .ckpt .pt2 .pte .gguf .onnx .h5 .keras .tflite .pkl .pickle .joblib "
        ".msgpack .nemo .mar .engine .plan .mlmodel .npz .ot"
    ).split()
)

# The list of the shards that a model's weights are spread over.
WEIGHT_INDEX = re.compile(r".+\.(safetensors|bin)\.index\.json")
_WEIGHT_BIN = re.compile(r"(pytorch_model|model|adapter_model|diffusion_pytorch_model|ggml).*\.bin")
# What trainers leave beside weights: part of the tree, not weights of the model.
_TRAINING_STATE = re.compile(r"(optimizer|scheduler|rng_state|scaler|training_args).*")


def is_weight_name(path: str) -> bool:
    """Return whether a file of this name holds weights, or lists the shards that do."""
    name = posixpath.basename(path)
    if _TRAINING_STATE.fullmatch(name):
        return False
    if name.endswith(".bin"):
        return bool(_WEIGHT_BIN.fullmatch(name))
    return (
        bool(WEIGHT_INDEX.fullmatch(name))
        or name == "saved_model.pb"
        or name.lower().endswith(WEIGHT_SUFFIXES)
    )
