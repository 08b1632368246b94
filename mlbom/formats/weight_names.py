"""Endings by which files of weights are known, for whoever looks for them and whoever verifies."""

# A `.bin` or `.pb` file holds weights under some names only; each reader says which.
WEIGHT_SUFFIXES = tuple(
    (
        ".safetensors .pt .pth .ckpt .pt2 .pte .gguf .onnx .h5 .keras .tflite .pkl .pickle .joblib "
        ".msgpack .nemo .mar .engine .plan .mlmodel .npz .ot"
    ).split()
)
