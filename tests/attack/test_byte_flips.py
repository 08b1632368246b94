"""Flipping bits, cutting and inserting bytes in every signed artefact: none is ever accepted."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbom.attest.publickey import KeyType
from mlbom.sign.newkey import KEY_NAMES
from mlbom.status import ExitStatus
from tests.fixtures.tiny_release import TinyRelease, new_signer

FLIPS_PER_FILE = 160


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    folder = tmp_path_factory.mktemp("flips")
    return TinyRelease(folder / "project", new_signer(folder)).build()


def artefacts(release: TinyRelease) -> list[Path]:
    """Return every file that the closing statement reaches, and its own bundle."""
    outputs = (p for p in sorted(release.out.rglob("*")) if p.name != "summary.json")
    return [p for p in (*outputs, *sorted(release.root.rglob("*"))) if p.is_file()]


def is_accepted(release: TinyRelease, path: Path, changed: bytes) -> bool:
    """Verify with other bytes in one file, and put the file back."""
    before = path.read_bytes()
    assert changed != before
    path.write_bytes(changed)
    try:
        status = release.verify().status
    finally:
        path.write_bytes(before)
    assert status in (ExitStatus.DONE, ExitStatus.UNTRUSTED)
    return status is ExitStatus.DONE


def test_no_flipped_bit_is_accepted(release: TinyRelease) -> None:
    tried = 0
    for path in artefacts(release):
        data = path.read_bytes()
        step = max(1, len(data) // FLIPS_PER_FILE)
        for number, position in enumerate(range(0, len(data), step)):
            changed = bytearray(data)
            changed[position] ^= 1 << (number % 8)
            assert not is_accepted(release, path, bytes(changed)), (path, position)
            tried += 1
    assert tried >= 1000
    assert release.verify().status is ExitStatus.DONE


def test_no_flipped_bit_of_any_signature_or_key_hint_is_accepted(release: TinyRelease) -> None:
    path = release.bundle("release")
    data = path.read_bytes()
    for field in (b'"sig":"', b'"hint":"', b'"payloadType":"', b'"mediaType":"'):
        start = data.index(field) + len(field)
        for position in range(start, data.index(b'"', start) + 1):
            for bit in (1, 4, 32):
                changed = bytearray(data)
                changed[position] ^= bit
                assert not is_accepted(release, path, bytes(changed)), (field, position, bit)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_random_edit_is_accepted(release: TinyRelease, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(artefacts(release)))
    before = path.read_bytes()
    start = data.draw(st.integers(0, len(before)))
    end = data.draw(st.integers(start, min(len(before), start + 8)))
    new = data.draw(st.binary(max_size=8).filter(lambda b: b != before[start:end]))
    changed = before[:start] + new + before[end:]
    if changed == before or _says_the_same(path, before, changed):
        return
    assert not is_accepted(release, path, changed)


def _says_the_same(path: Path, before: bytes, changed: bytes) -> bool:
    """Return whether a bundle was re-spelled only: white space, or a key id nobody relies on."""
    if not path.name.startswith("08-"):
        return False
    try:
        old, new = json.loads(before), json.loads(changed)
    except ValueError:
        return False
    for document in (old, new):
        for signed in document.get("dsseEnvelope", {}).get("signatures", []):
            if isinstance(signed, dict):
                signed.pop("keyid", None)
    return bool(old == new)


@pytest.mark.parametrize("name", KEY_NAMES)
def test_no_flipped_signature_is_accepted_for_any_key_type(name: str, tmp_path: Path) -> None:
    key_type: KeyType = KEY_NAMES[name]
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path, key_type=key_type)).build()
    assert release.verify().status is ExitStatus.DONE
    path = release.bundle("release")
    document = json.loads(path.read_bytes())
    signed = document["dsseEnvelope"]["signatures"][0]
    raw = base64.b64decode(signed["sig"])
    for position in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[position] ^= 1 << (position % 8)
        signed["sig"] = base64.b64encode(bytes(changed)).decode()
        assert not is_accepted(release, path, json.dumps(document).encode())
