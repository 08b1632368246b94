"""in-toto-verify judges our links and the layouts that we compile, and rejects every mutation."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlbom.attest.classic import classic_envelope, keyid, link_name, link_payload
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.cli.main import run
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS
from mlbom.sign.signer import Signer
from tests.fixtures.policies import new_signer, write_policy

pytestmark = pytest.mark.oracle
VERIFY = Path(sys.executable).with_name("in-toto-verify")
POLICY = """
version: 1
keys: {box: keys/box.pub, second: keys/second.pub, boss: keys/boss.pub}
roles: {release: [boss], data: [box], train: [box, second], eval: [box]}
steps:
  data:
    materials: ["allow raw.csv", "allow *.py", "disallow *"]
    products: ["create prepared/*"]
  train:
    materials: ["match prepared/* from data", "allow *.py"]
    products: ["match models/* in model", "create log[1].txt"]
  eval:
    materials: ["match models/* from train", "match prepared/* from data", "allow *.py"]
    products: ["create metrics.json"]
"""
FILES = {
    "raw.csv": b"1,2\n",
    "prepare.py": b"prepare\n",
    "train.py": b"train\n",
    "eval.py": b"eval\n",
    "prepared/a.txt": b"one\n",
    "prepared/b.txt": b"two\n",
    "models/m.bin": b"weights",
    "models/config.json": b"{}",
    "log[1].txt": b"loss 0\n",
    "metrics.json": b"{}\n",
}
STEPS = {
    "data": (("raw.csv", "prepare.py"), ("prepared/a.txt", "prepared/b.txt")),
    "train": (
        ("prepared/a.txt", "prepared/b.txt", "train.py"),
        ("models/m.bin", "models/config.json", "log[1].txt"),
    ),
    "eval": (("models/m.bin", "prepared/b.txt", "eval.py"), ("metrics.json",)),
}


@dataclass
class Chain:
    """Three recorded steps, the files that they left, and a compiled layout."""

    root: Path
    owner: Signer
    boxes: dict[str, Signer]

    def write_link(
        self, step: str, signer: Signer | None = None, changed: dict[str, bytes] | None = None
    ) -> Path:
        files = {**FILES, **(changed or {})}
        sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        read, wrote = ({n: sha256[n] for n in names} for names in STEPS[step])
        payload = link_payload(step, read, wrote, ["python", f"{step}.py"])
        signer = signer or self.boxes["box"]
        identity = keyid(signer.public_key)
        path = self.root / "attestations" / link_name(step, identity)
        path.write_bytes(classic_envelope(signer.sign(payload, PAYLOAD_TYPE), identity))
        return path

    def link(self, step: str, signer: str = "box") -> Path:
        identity = keyid(self.boxes[signer].public_key)
        return self.root / "attestations" / link_name(step, identity)

    def compile(self, expires: str = "2099-01-01", policy: str = POLICY) -> Path:
        path = write_policy(self.root, policy)
        layout = self.root / "root.layout"
        key = str(self.root / "keys" / "owner.pem")
        command = ["policy", "compile", str(path), "--expires", expires, "--key", key]
        assert run([*command, "-o", str(layout)]) == 0
        return layout

    def judge(self) -> tuple[bool, str]:
        """Return whether in-toto-verify accepts, and what it said, asked as anybody could."""
        command = [str(VERIFY), "-l", "root.layout", "--link-dir", "attestations"]
        command += ["--verification-keys", "keys/owner.pub"]
        done = subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=False, timeout=120
        )
        return done.returncode == 0, done.stdout + done.stderr


def build(root: Path, key: str = "p256") -> Chain:
    boxes = {n: new_signer(root / "keys", n, KEY_NAMES[key]) for n in ("box", "second", "boss")}
    chain = Chain(root, new_signer(root / "keys", "owner", KEY_NAMES[key]), boxes)
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "attestations").mkdir()
    for step in STEPS:
        chain.write_link(step)
    chain.compile()
    return chain


@pytest.mark.parametrize("key", KEY_NAMES)
def test_in_toto_accepts_the_chain(tmp_path: Path, key: str) -> None:
    """For each kind of key, unless `mlbom keys new` says that in-toto cannot check it."""
    accepted, said = build(tmp_path, key).judge()
    assert accepted is ("in-toto" not in LOST_VERIFIERS[KEY_NAMES[key]]), said


def flip_payload(path: Path) -> None:
    document = json.loads(path.read_bytes())
    payload = bytearray(base64.b64decode(document["payload"]))
    place = re.search(rb'"sha256":"(.)|"threshold":(.)', payload)
    assert place
    payload[place.end() - 1] = ord("7") if payload[place.end() - 1] != ord("7") else ord("8")
    document["payload"] = base64.b64encode(bytes(payload)).decode()
    path.write_text(json.dumps(document))


def by_a_stranger(chain: Chain) -> None:
    """A link by another key, under the name of the right one."""
    right = chain.link("train")
    chain.write_link("train", chain.boxes["boss"]).replace(right)


def with_forged_id(chain: Chain) -> None:
    """A link by another key that claims the right key's id."""
    wrong = chain.write_link("train", chain.boxes["boss"])
    document = json.loads(wrong.read_bytes())
    document["signatures"][0]["keyid"] = keyid(chain.boxes["box"].public_key)
    chain.link("train").write_text(json.dumps(document))


def with_role_of_another_step(chain: Chain) -> None:
    """`second` may sign train, not data."""
    chain.link("data").unlink()
    chain.write_link("data", chain.boxes["second"])


def by_another_owner(chain: Chain) -> None:
    box = (chain.root / "keys" / "box.pem").read_bytes()
    (chain.root / "keys" / "owner.pem").write_bytes(box)
    chain.compile()


def expired(chain: Chain) -> None:
    document = json.loads((chain.root / "root.layout").read_bytes())
    payload = base64.b64decode(document["payload"]).replace(b"2099-", b"2019-")
    envelope = chain.owner.sign(payload, PAYLOAD_TYPE)
    identity = keyid(chain.owner.public_key)
    (chain.root / "root.layout").write_bytes(classic_envelope(envelope, identity))


def changed_data(chain: Chain) -> None:
    """The training read other bytes than the data step wrote, and signed that truthfully."""
    chain.write_link("train", changed={"prepared/a.txt": b"poison\n"})


def changed_weights(chain: Chain) -> None:
    chain.write_link("eval", changed={"models/m.bin": b"others"})


MUTATIONS: dict[str, tuple[Callable[[Chain], object], str]] = {
    "shipped weights changed": (
        lambda c: (c.root / "models/m.bin").write_bytes(b"evil"),
        "RuleVerificationError",
    ),
    "a file added to the model": (
        lambda c: (c.root / "models/evil.py").write_bytes(b""),
        "RuleVerificationError",
    ),
    "link changed": (lambda c: flip_payload(c.link("train")), "ThresholdVerificationError"),
    "layout changed": (
        lambda c: flip_payload(c.root / "root.layout"),
        "SignatureVerificationError",
    ),
    "link missing": (lambda c: c.link("eval").unlink(), "LinkNotFoundError"),
    "link by a stranger": (by_a_stranger, "ThresholdVerificationError"),
    "link with a forged key id": (with_forged_id, "ThresholdVerificationError"),
    "link by a key of another step": (with_role_of_another_step, "LinkNotFoundError"),
    "layout by another owner": (by_another_owner, "SignatureVerificationError"),
    "layout expired": (expired, "LayoutExpiredError"),
    "trained on other data": (changed_data, "RuleVerificationError"),
    "evaluated other weights": (changed_weights, "RuleVerificationError"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_in_toto_rejects(tmp_path: Path, name: str) -> None:
    chain = build(tmp_path)
    mutate, error = MUTATIONS[name]
    mutate(chain)
    accepted, said = chain.judge()
    assert not accepted
    assert error in said


def test_a_threshold_takes_two_keys(tmp_path: Path) -> None:
    chain = build(tmp_path)
    chain.compile(policy=POLICY.replace("  train:\n", "  train:\n    threshold: 2\n"))
    accepted, said = chain.judge()
    assert not accepted
    assert "LinkNotFoundError" in said
    chain.write_link("train", chain.boxes["second"])
    assert chain.judge()[0]
    chain.write_link("train", chain.boxes["second"], changed={"models/m.bin": b"other"})
    accepted, said = chain.judge()
    assert not accepted
    assert "ThresholdVerificationError" in said


def test_a_step_that_is_only_matched_from_needs_its_link(tmp_path: Path) -> None:
    chain = build(tmp_path)
    steps = POLICY.index("  data:\n"), POLICY.index("  train:\n")
    chain.compile(policy=POLICY[: steps[0]] + POLICY[steps[1] :])
    accepted, said = chain.judge()
    assert accepted, said
    chain.link("data").unlink()
    assert not chain.judge()[0]
