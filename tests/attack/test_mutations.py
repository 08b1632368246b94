"""Generated mutations of every signed bundle of a whole chain: none is accepted, none is a crash."""

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE, VSA_PREDICATE
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy
from tests.fixtures.chain import Chain, new_people, required, sha256_of
from tests.fixtures.tiny_release import PURL

FLIPS, CUTS = 30, 10
REQUIRED = ("data", "train", "eval", "weights", "bom", "release", "review")
Path_ = tuple[str | int, ...]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Return a chain with a review and a verdict, made after the release was closed."""
    folder = tmp_path_factory.mktemp("mutations")
    chain = Chain(folder / "project", new_people(folder / "keys")).build()
    closing = chain.release.bundle("release")
    about = (
        Subject("closing", sha256_of(closing.read_bytes())),
        Subject("manifest", sha256_of((chain.release.out / "model.manifest").read_bytes())),
    )
    said = {"verifier": {"id": "urn:x"}, "properties": ["GOOD"]}
    judged = {"verifier": {"id": "urn:x"}, "verificationResult": "PASSED", "resourceUri": PURL}
    for label, kind, told in (("review", SVR_PREDICATE, said), ("verdict", VSA_PREDICATE, judged)):
        name = chain.sealed(label, Statement(about, kind, told), "reviewer", 7)
        (chain.release.out / name).write_bytes(chain.extra[name])
    return chain


@pytest.fixture(scope="module")
def policy(chain: Chain) -> Policy:
    return chain.policy(steps=required(*REQUIRED))


def bundles(chain: Chain) -> list[Path]:
    return sorted((chain.release.out / "attestations").glob("*.sigstore.json"))


def raw(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield bytes with flipped bits, cut short, doubled, or with something put in."""
    for number in range(FLIPS):
        position = number * len(data) // FLIPS
        changed = bytearray(data)
        changed[position] ^= 1 << (number % 7)
        yield f"bit at {position}", bytes(changed)
    for number in range(CUTS):
        end = number * len(data) // CUTS
        yield f"cut at {end}", data[:end]
    yield "doubled", data + data
    yield "a second object", data + b"{}"
    yield "an array around it", b"[" + data + b"]"
    yield "a byte order mark", b"\xef\xbb\xbf" + data
    yield "a NUL behind it", data + b"\0"
    yield "UTF-16", data.decode().encode("utf-16")


def places(value: Any, here: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of everything inside a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*here, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*here, key))


def parsed(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield a bundle with a field removed, renamed, doubled or of another kind."""
    for place in places(document):
        if place[-1] in ("keyid", "tlogEntries"):
            continue  # Outside what is signed: a hint, and a list that is empty or not there.
        for name, value in (("null", None), ("number", 7), ("list", []), ("object", {"a": 1})):
            changed = copy.deepcopy(document)
            holder = _holder(changed, place)
            if holder[place[-1]] != value:
                holder[place[-1]] = value
                yield f"{name} at {place}", json.dumps(changed).encode()
        changed = copy.deepcopy(document)
        holder = _holder(changed, place)
        value = holder[place[-1]]
        if isinstance(place[-1], int):
            holder.append(value)
            yield f"{place} twice", json.dumps(changed).encode()
        else:
            del holder[place[-1]]
            yield f"without {place}", json.dumps(changed).encode()
            holder[f"{place[-1]}x"] = value
            yield f"{place} renamed", json.dumps(changed).encode()
            mark = json.dumps({place[-1]: 1})[1:-1].partition(":")[0]
            text = json.dumps(document)
            yield f"{place} twice", text.replace(mark, f"{mark}: 0, {mark}", 1).encode()


def _holder(document: Any, place: Path_) -> Any:
    for key in place[:-1]:
        document = document[key]
    return document


def payloads(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield a bundle whose payload says something else, under the old signature."""
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    statement = json.loads(payload)
    told = list(places(statement))
    step = max(1, len(told) // 20)
    for place in told[::step]:
        changed = copy.deepcopy(statement)
        _holder(changed, place)[place[-1]] = "x"
        yield f"payload: {place}", _with_payload(document, json.dumps(changed).encode())
    yield "payload: spaces", _with_payload(document, json.dumps(statement, indent=1).encode())
    yield "payload: empty object", _with_payload(document, b"{}")


def _with_payload(document: dict[str, Any], payload: bytes) -> bytes:
    changed = copy.deepcopy(document)
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    return json.dumps(changed).encode()


def spellings(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield a bundle whose base64 another reader might take for the same."""
    envelope = document["dsseEnvelope"]
    for name, holder in (("payload", envelope), ("sig", envelope["signatures"][0])):
        text = holder[name]
        data = base64.b64decode(text)
        for kind, other in (
            ("a line break", text[:40] + "\n" + text[40:]),
            ("a space", " " + text),
            ("more padding", text + "="),
            ("junk", text + "!"),
            ("url-safe", base64.urlsafe_b64encode(data + b"\xfb\xff").decode()),
            ("base32", base64.b32encode(data).decode()),
            ("bytes behind", base64.b64encode(data + b"\0").decode()),
            ("bytes missing", base64.b64encode(data[:-1]).decode()),
            ("nothing", ""),
        ):
            changed = copy.deepcopy(document)
            inner = changed["dsseEnvelope"]
            (inner if name == "payload" else inner["signatures"][0])[name] = other
            yield f"{name}: {kind}", json.dumps(changed).encode()


def exchanged(documents: dict[str, Any], name: str) -> Iterator[tuple[str, bytes]]:
    """Yield a bundle with the payload, signature, hint or envelope of another one."""
    for other, told in documents.items():
        if other == name:
            continue
        for field in ("payload", "signatures", "hint", "dsseEnvelope", "verificationMaterial"):
            changed = copy.deepcopy(documents[name])
            material = changed["verificationMaterial"]
            if field == "hint":
                material["publicKey"] = told["verificationMaterial"]["publicKey"]
            elif field in changed:
                changed[field] = told[field]
            else:
                changed["dsseEnvelope"][field] = told["dsseEnvelope"][field]
            # Another statement by the same signer is a copy of that one, not a forgery.
            if changed != documents[name] and changed != told:
                yield f"{field} of {other}", json.dumps(changed).encode()


def mutations(chain: Chain) -> Iterator[tuple[Path, str, bytes]]:
    read = {path.name: path.read_bytes() for path in bundles(chain)}
    documents = {name: json.loads(data) for name, data in read.items()}
    for path in bundles(chain):
        document = documents[path.name]
        for kind in (
            raw(read[path.name]),
            parsed(document),
            payloads(document),
            spellings(document),
            exchanged(documents, path.name),
        ):
            for name, data in kind:
                yield path, name, data


def test_no_mutation_is_accepted(chain: Chain, policy: Policy) -> None:
    """Whatever a bundle becomes, the verdict is 3 and nothing else is raised."""
    before = {path: path.read_bytes() for path in bundles(chain)}
    assert len(before) == 8
    tried = 0
    for path, name, data in mutations(chain):
        assert data != before[path], name
        path.write_bytes(data)
        verdict = chain.verify(policy if tried % 2 else None)
        assert verdict.status is ExitStatus.UNTRUSTED, (path.name, name)
        path.write_bytes(before[path])
        tried += 1
    assert tried >= 500, tried
    assert chain.verify(policy).status is ExitStatus.DONE
    assert chain.verify().status is ExitStatus.DONE


def test_no_mutation_is_accepted_when_the_release_is_closed_again(tmp_path: Path) -> None:
    """Now by a thief of the release key: only the record's own signature stands in the way."""
    chain = Chain(tmp_path / "project", new_people(tmp_path / "keys")).build()
    policy = chain.policy(steps=required("data", "train", "eval"))
    tried = 0
    for label in ("data", "train", "eval"):
        path = chain.bundle(label)
        before = path.read_bytes()
        document = json.loads(before)
        for kind in (raw(before), payloads(document), spellings(document)):
            for number, (name, data) in enumerate(kind):
                if number % 3:
                    continue
                chain.replace(label, data)
                assert chain.verify(policy).status is ExitStatus.UNTRUSTED, (label, name)
                tried += 1
        chain.replace(label, before)
    assert tried >= 60
    assert chain.verify(policy).status is ExitStatus.DONE
