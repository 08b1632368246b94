"""openssl alone checks our bundles: the signature over the DSSE encoding, with the public key."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mlbom.attest.dsse import pae
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS
from mlbom.sign.signer import Signer
from tests.fixtures.mutations import MUTATIONS, mutated
from tests.fixtures.tiny_release import TinyRelease, new_signer

pytestmark = pytest.mark.oracle
# An openssl before 3.5 has no ML-DSA, and says so of every key.
NAMES = [
    name for name, kind in KEY_NAMES.items() if "openssl before 3.5" not in LOST_VERIFIERS[kind]
]
RSA_OPTIONS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]


def judge(folder: Path, name: str, bundle: bytes, public: bytes) -> bool:
    """Return whether openssl accepts a bundle, as anybody could ask it."""
    openssl = shutil.which("openssl")
    assert openssl, "this test needs openssl"
    document = json.loads(bundle)["dsseEnvelope"]
    payload = base64.b64decode(document["payload"])
    (folder / "pae").write_bytes(pae(document["payloadType"], payload))
    (folder / "sig").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    (folder / "pub").write_bytes(public)
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-sigfile", "sig"]
    command += ["-rawin", "-in", "pae"]
    if name != "ed25519":
        command += ["-digest", "sha384" if name == "p384" else "sha256"]
    if name == "rsa":
        command += [o.replace("-sigopt", "-pkeyopt") for o in RSA_OPTIONS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "Success" in done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", ["weights", "bom", "release"])
def test_openssl_accepts_the_bundle_and_no_mutation_of_it(
    name: str, label: str, tmp_path: Path
) -> None:
    signer: Signer = new_signer(tmp_path, key_type=KEY_NAMES[name])
    release = TinyRelease(tmp_path / "project", signer).build()
    bundle = release.bundle(label).read_bytes()
    public = signer.public_key.pem
    assert judge(tmp_path, name, bundle, public)
    for mutation in MUTATIONS.keys() - {"no signature"}:
        assert not judge(tmp_path, name, mutated(bundle, mutation), public), mutation
    stranger = new_signer(tmp_path, "stranger", key_type=KEY_NAMES[name])
    assert not judge(tmp_path, name, bundle, stranger.public_key.pem)


def test_openssl_computes_the_same_hint(tmp_path: Path) -> None:
    """The hint is the SHA-256 of what `openssl pkey -pubout` writes."""
    openssl = shutil.which("openssl")
    assert openssl, "this test needs openssl"
    signer = new_signer(tmp_path)
    command = [openssl, "pkey", "-in", str(tmp_path / "key.pem"), "-pubout"]
    written = subprocess.run(command, capture_output=True, check=True).stdout
    assert written == signer.public_key.pem


def test_coreutils_check_the_manifest(tmp_path: Path) -> None:
    assert shutil.which("sha256sum"), "this test needs sha256sum"
    release = TinyRelease(tmp_path, new_signer(tmp_path / "keys")).build()
    command = ["sha256sum", "--check", "--strict", str(release.out / "model.manifest")]
    done = subprocess.run(command, cwd=release.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (release.root / "config.json").write_bytes(b"{}")
    assert subprocess.run(command, cwd=release.root, capture_output=True, check=False).returncode


def test_the_commands_of_the_documentation_work(tmp_path: Path) -> None:
    """docs/verify-by-hand.md promises that a release can be checked with a shell and openssl."""
    text = (Path(__file__).parents[2] / "docs" / "verify-by-hand.md").read_text()
    blocks = [block.split("```", 1)[0] for block in text.split("```sh\n")[1:]]
    assert all(w in b for w, b in zip(("model.manifest", "openssl", "grep"), blocks, strict=False))
    release = TinyRelease(tmp_path / "p", new_signer(tmp_path), model_root=".").build()
    (release.path / "publisher.pub").write_bytes(release.signer.public_key.pem)
    for block in blocks[:3]:
        done = run_block(block, release)
        assert done.returncode == 0, done.stderr
    files = [line for line in done.stdout.splitlines() if line.endswith(": OK")]
    assert len(files) == len(list(release.out.rglob("*.*"))) - 2
    (release.path / "config.json").write_bytes(b"{}")
    assert run_block(blocks[0], release).returncode
    (release.out / "MODEL_CARD.md").write_bytes(b"")
    assert run_block(blocks[2], release).returncode
    closing = release.bundle("release")
    closing.write_bytes(closing.read_bytes().replace(b'"payload":"ey', b'"payload":"ez'))
    assert run_block(blocks[1], release).returncode


def run_block(block: str, release: TinyRelease) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euo", "pipefail", "-c", block]
    return subprocess.run(command, cwd=release.path, capture_output=True, text=True, check=False)
