"""Well signed and still not to be trusted: confused, malformed or contradictory statements."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.types import CYCLONEDX_PREDICATE, OMS_PREDICATE, RELEASE_PREDICATE
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy
from mlbom.verify.signers.trust import trusted_signers
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import TinyRelease, new_signer, signed_payload

Edit = Callable[[dict[str, Any]], object]
VSA = "https://slsa.dev/verification_summary/v1"
ZERO = "0" * 64


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


def rules(verdict: Verdict) -> set[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return {problem.rule for problem in verdict.problems}


def first(document: dict[str, Any]) -> dict[str, Any]:
    subject: dict[str, Any] = document["subject"][0]
    return subject


def rename(name: str) -> Edit:
    return lambda d: first(d).update(name=name)


def digests(**told: str) -> Edit:
    return lambda d: first(d).update(digest=told)


ANY_STATEMENT: dict[str, tuple[Edit, str]] = {
    "no subject": (lambda d: d.update(subject=[]), "malformed-statement"),
    "the subject is no list": (lambda d: d.update(subject={}), "malformed-statement"),
    "a subject twice": (lambda d: d["subject"].append(first(d)), "malformed-statement"),
    "a subject without digest": (digests(), "malformed-statement"),
    "a subject with sha1 alone": (digests(sha1="0" * 40), "malformed-statement"),
    "a subject with gitCommit": (digests(sha256=ZERO, gitCommit="0" * 40), "malformed-statement"),
    "a digest in capitals": (digests(sha256="A" * 64), "malformed-statement"),
    "a digest that is too short": (digests(sha256="ab"), "malformed-statement"),
    "a name that leads upwards": (rename("mlbom-out/../../etc/passwd"), "malformed-statement"),
    "an absolute name": (rename("/etc/passwd"), "malformed-statement"),
    "a drive letter": (rename("C:/model"), "malformed-statement"),
    "a backslash": (rename("model\\..\\x"), "malformed-statement"),
    "a NUL in a name": (rename("model/a\x00b"), "malformed-statement"),
    "a line break in a name": (rename("model/a\r\nb"), "malformed-statement"),
    "a lone surrogate in a name": (rename("model/\ud800"), "malformed-statement"),
    "an empty name": (rename(""), "malformed-statement"),
    "annotations in a subject": (lambda d: first(d).update(annotations={}), "malformed-statement"),
    "an unknown field": (lambda d: d.update(extra=1), "malformed-statement"),
    "statement version 0.1": (
        lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"),
        "malformed-statement",
    ),
    "the predicate is a list": (lambda d: d.update(predicate=[]), "malformed-statement"),
    "a verification summary": (lambda d: d.update(predicateType=VSA), "unexpected-predicate"),
    "an unheard-of predicate": (lambda d: d.update(predicateType="x:y"), "unexpected-predicate"),
    "no predicate type": (lambda d: d.update(predicateType=""), "malformed-statement"),
}


@pytest.mark.parametrize("label", ["weights", "bom", "release"])
@pytest.mark.parametrize("edit", ANY_STATEMENT)
def test_a_malformed_statement_is_refused(
    edit: str, label: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = ANY_STATEMENT[edit]
    hook = {"weights": "edit_weights", "bom": "edit_bom", "release": "edit_closing"}[label]
    release = TinyRelease(tmp_path, signer)
    setattr(release, hook, change)
    assert rule in rules(release.build().verify())


PAYLOADS: dict[str, Callable[[bytes], bytes]] = {
    "NaN": lambda p: p.replace(b'"size":42', b'"size":NaN'),
    "Infinity": lambda p: p.replace(b'"size":42', b'"size":-Infinity'),
    "an overflow": lambda p: p.replace(b'"size":42', b'"size":1e400'),
    "5000 digits": lambda p: p.replace(b'"size":42', b'"size":' + b"9" * 5000),
    "an integer beyond 2^53": lambda p: p.replace(b'"size":42', b'"size":9007199254740993'),
    "a key twice": lambda p: p.replace(b'"size":42', b'"size":42,"size":42'),
    "another key twice": lambda p: p.replace(b'"subject":', b'"subject":[],"subject":'),
    "depth": lambda p: p.replace(b'"size":42', b'"size":' + b"[" * 99 + b"]" * 99),
    "a byte order mark": lambda p: b"\xef\xbb\xbf" + p,
    "another encoding": lambda p: p.decode().encode("utf-16"),
    "no JSON": lambda _p: b"tiny",
}


@pytest.mark.parametrize("edit", PAYLOADS)
def test_a_signed_payload_of_two_meanings_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    release = TinyRelease(tmp_path, signer).build()
    path = release.bundle("bom")
    payload = base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"])
    changed = PAYLOADS[edit](payload)
    assert changed != payload
    path.write_bytes(signed_payload(signer, changed))
    release.close_again()
    assert rules(release.verify()) >= {"malformed-statement", "missing-statement"}


KINDS = {"weights": OMS_PREDICATE, "bom": CYCLONEDX_PREDICATE, "release": RELEASE_PREDICATE}


@pytest.mark.parametrize("claimed", KINDS)
@pytest.mark.parametrize("label", KINDS)
def test_no_statement_stands_in_for_another(
    label: str, claimed: str, tmp_path: Path, signer: Signer
) -> None:
    hook = {"weights": "edit_weights", "bom": "edit_bom", "release": "edit_closing"}[label]
    release = TinyRelease(tmp_path, signer)
    setattr(release, hook, lambda d: d.update(predicateType=KINDS[claimed]))
    verdict = release.build().verify()
    expected = ExitStatus.DONE if label == claimed else ExitStatus.UNTRUSTED
    assert verdict.status is expected


def roles_of(release: TinyRelease, *roles: str) -> Policy:
    key = release.signer.public_key
    return Policy(signers=trusted_signers([(role, key) for role in roles]))


def test_a_key_of_another_role_does_not_close_a_release(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    verdict = release.verify(policy=roles_of(release, "bom", "review"))
    assert rules(verdict) == {"wrong-role", "no-closing-statement"}
    assert any("trusted for bom, review, not for release" in p.message for p in verdict.problems)


def test_a_key_of_the_release_does_not_sign_its_bom(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    verdict = release.verify(policy=roles_of(release, "release"))
    assert rules(verdict) == {"wrong-role", "missing-statement"}
    assert release.verify(policy=roles_of(release, "release", "bom")).status is ExitStatus.DONE
