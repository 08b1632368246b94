"""Classic links and layouts as data: key ids, names, forms that in-toto's own models read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from in_toto.models.layout import Layout as RealLayout
from in_toto.models.link import Link
from in_toto.models.metadata import Metadata
from securesystemslib.signer._key import SSlibKey

from mlbom.attest.classic import (
    Inspection,
    Layout,
    LayoutStep,
    classic_envelope,
    key_document,
    keyid,
    layout_payload,
    link_name,
    link_payload,
)
from mlbom.attest.publickey import public_key_value
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.sign.newkey import KEY_NAMES
from tests.fixtures.policies import new_signer

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_key_id_is_that_of_securesystemslib(name: str, tmp_path: Path) -> None:
    key = new_signer(tmp_path, key_type=KEY_NAMES[name]).public_key
    theirs = SSlibKey.from_crypto(load_pem_public_key(key.pem))
    assert keyid(key) == theirs.keyid
    assert key_document(key) == theirs.to_dict()


def ml_dsa(name: str) -> Callable[[], Any]:
    mldsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    return getattr(mldsa, name).generate  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["MLDSA44PrivateKey", "MLDSA65PrivateKey", "MLDSA87PrivateKey"])
def test_a_key_id_of_ml_dsa_is_that_of_securesystemslib(name: str) -> None:
    theirs = ml_dsa(name)().public_key()
    ours = public_key_value(theirs, "key")
    assert keyid(ours) == SSlibKey.from_crypto(theirs).keyid


def test_a_link_reads_as_one(tmp_path: Path) -> None:
    signer = new_signer(tmp_path)
    payload = link_payload(
        "train",
        {"data/ä.txt": A},
        {"m.bin": B},
        ("python", "train.py"),
        byproducts={"return-value": 0},
    )
    path = tmp_path / link_name("train", keyid(signer.public_key))
    path.write_bytes(classic_envelope(signer.sign(payload, PAYLOAD_TYPE), keyid(signer.public_key)))
    assert path.name == f"train.{keyid(signer.public_key)[:8]}.link"
    link = Metadata.load(str(path)).get_payload()
    assert isinstance(link, Link)
    assert link.materials == {"data/ä.txt": {"sha256": A}}
    assert link.products == {"m.bin": {"sha256": B}}
    assert link.command == ["python", "train.py"]
    assert link.byproducts == {"return-value": 0}
    assert link.environment == {}


def test_a_layout_reads_as_one_and_holds_each_key_once(tmp_path: Path) -> None:
    one, two = (new_signer(tmp_path, name).public_key for name in ("one", "two"))
    layout = Layout(
        steps=(
            LayoutStep(name="data", keys=(one,), products=(("CREATE", "*"), ("DISALLOW", "*"))),
            LayoutStep(name="train", keys=(one, two, one), threshold=2),
        ),
        expires=1_800_000_000,
        inspections=(Inspection(name="here", run=("true",), products=(("ALLOW", "*"),)),),
        readme="who may do what",
    )
    document = json.loads(layout_payload(layout))
    assert document["expires"] == "2027-01-15T08:00:00Z"
    assert set(document["keys"]) == {keyid(one), keyid(two)}
    read = RealLayout.read(document)
    assert [step.name for step in read.steps] == ["data", "train"]
    assert sorted(read.steps[1].pubkeys) == sorted([keyid(one), keyid(two)])
    assert read.steps[0].expected_products == [["CREATE", "*"], ["DISALLOW", "*"]]
    assert read.inspect[0].run == ["true"]


def test_equal_facts_give_equal_bytes() -> None:
    told: list[dict[str, str]] = [{"a": A, "b": B}, {"b": B, "a": A}]
    first, second = (link_payload("s", names, names, ["x"]) for names in told)
    assert first == second
