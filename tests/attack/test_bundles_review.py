"""What an attack review found about lone bundles, surplus signatures, flags, archives and copies."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mlbom import __version__
from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.attest.vsa import Summary, summary_statement
from mlbom.cli.main import run
from mlbom.collect.runs.record import numbers
from mlbom.errors import MalformedError, StateError, UsageError
from mlbom.evidence.nodes import Release
from mlbom.pipeline.verify import Asked, verify
from mlbom.render.templates import templates_digest
from mlbom.sign.signer import Signer, seal
from mlbom.status import ExitStatus
from mlbom.verify import bundles
from mlbom.verify.policy.values import Identity, Policy, Quality, TrustedSigner
from mlbom.verify.signers.trust import Trust, read_signers, with_bom
from mlbom.verify.verdict import Verdict
from tests.fixtures import tiny_release
from tests.fixtures.chain import NAMES, WEIGHTS, Chain, new_people, required, sha256_of
from tests.fixtures.records import record_statement, run_claim
from tests.fixtures.tiny_release import MODEL_FILES, write_files
from tests.unit.verify.test_authority import CODE, ROOT, make, pem, usage


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    keys = tmp_path / "keys"
    write_files(keys, {f"{n}.pub": people[n].public_key.pem for n in NAMES})
    return Chain(tmp_path / "project", people)


def key(chain: Chain, name: str) -> Path:
    return chain.path.parent / "keys" / f"{name}.pub"


def alone(chain: Chain, data: bytes, policy: Policy, root: Path | None = None) -> Verdict:
    place = chain.path / "alone.sigstore.json"
    write_files(chain.path, {place.name: data})
    return verify(place, Trust(policy), Asked(root=root or chain.path))


def bad(verdict: Verdict) -> list[str]:
    assert verdict.status is ExitStatus.UNTRUSTED, verdict.problems
    return sorted(p.rule for p in verdict.problems if p.status is ExitStatus.UNTRUSTED)


def remarks(verdict: Verdict) -> list[str]:
    return [p.rule for p in verdict.problems if p.status is ExitStatus.DONE]


# A lone bundle.


@pytest.mark.parametrize(
    "demands",
    [
        {"steps": required("train")},
        {"model": "pkg:generic/*"},
        {"max_age_s": 1},
        {"min_version": "1"},
        {"needs_version": True},
        {"withdrawn": {"0" * 64: "leaked"}},
        {"quality": Quality(most_gaps=3)},
    ],
    ids=lambda demands: next(iter(demands)),
)
def test_a_lone_bundle_does_not_meet_what_a_policy_demands(
    chain: Chain, demands: dict[str, Any]
) -> None:
    data = chain.build().release.bundle("weights").read_bytes()
    assert alone(chain, data, chain.policy(), chain.release.root).status is ExitStatus.DONE
    verdict = alone(chain, data, chain.policy(**demands), chain.release.root)
    assert bad(verdict) == ["policy-rule"]
    assert "verify the release directory" in verdict.problems[0].message


@pytest.mark.parametrize("passed", [True, False])
def test_a_lone_summary_that_failed_is_refused(chain: Chain, passed: bool) -> None:
    chain.build()
    summary = Summary(
        purl="pkg:generic/tiny@1.0.0",
        manifest=sha256_of((chain.release.out / "model.manifest").read_bytes()),
        passed=passed,
        verified_at=1,
        policy_uri="policy.yaml",
        policy_sha256="0" * 64,
        inputs={},
        recorded=False,
        tool_version="0",
    )
    data = seal(chain.people["reviewer"], summary_statement(summary)).bundle
    verdict = alone(chain, data, chain.policy(), chain.release.out)
    assert verdict.status is (ExitStatus.DONE if passed else ExitStatus.UNTRUSTED)


@pytest.mark.parametrize(("exit_code", "rules"), [(0, []), (1, ["failed-run"])])
def test_a_lone_record_of_a_step_that_failed_is_refused(
    chain: Chain, exit_code: int, rules: list[str]
) -> None:
    weights = chain.build().release.model["model.safetensors"]
    statement = record_statement({WEIGHTS: weights}, (), run_claim("train", exit_code=exit_code))
    data = seal(chain.people["trainer"], statement).bundle
    verdict = alone(chain, data, chain.policy())
    assert [p.rule for p in verdict.problems] == rules
    assert verdict.what == ("release" if rules else "record")


@pytest.mark.parametrize(
    ("name", "rules"), [("tester", ["wrong-role"]), ("librarian", ["wrong-role"])]
)
def test_an_invented_predicate_needs_the_role_release(
    chain: Chain, name: str, rules: list[str]
) -> None:
    weights = chain.build().release.model["model.safetensors"]
    subject = Subject(WEIGHTS, sha256_of(weights))
    statement = Statement((subject,), "https://model_signing/signature/v1.1", {})
    data = seal(chain.people[name], statement).bundle
    assert bad(alone(chain, data, chain.policy())) == rules
    data = seal(chain.people["publisher"], statement).bundle
    assert alone(chain, data, chain.policy()).status is ExitStatus.DONE


@pytest.mark.parametrize(
    ("subject", "roles", "rules"),
    [
        ("intern@corp.example", ("release",), []),
        ("release-bot@corp.example", ("release",), ["untrusted-signer"]),
        ("intern@corp.example", ("eval",), ["wrong-role"]),
        ("", (), []),
    ],
)
def test_an_authority_vouches_for_the_identities_that_are_named(
    chain: Chain, subject: str, roles: tuple[str, ...], rules: list[str]
) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    names = x509.SubjectAlternativeName([x509.RFC822Name("intern@corp.example")])
    leaf, private = make("intern", ROOT, usage(), CODE, names)
    envelope = json.loads(chain.build().release.bundle("weights").read_bytes())["dsseEnvelope"]
    payload = _decoded(envelope["payload"])
    made = private.sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(SHA256()))
    document = json.loads(bundle_bytes(Envelope(payload, PAYLOAD_TYPE, made), ""))
    told = {"rawBytes": _encoded(leaf.public_bytes(Encoding.DER))}
    document["verificationMaterial"] = {"x509CertificateChain": {"certificates": [told]}}
    who = Identity(subject=subject, issuer="https://corp.example")
    named = TrustedSigner(name="ci", identity=who, roles=frozenset(roles))
    policy = Policy(signers=(named,) if subject else (), trust_root=pem(ROOT))
    verdict = alone(chain, json.dumps(document).encode(), policy, chain.release.root)
    assert [p.rule for p in verdict.problems] == rules


def _decoded(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def _encoded(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def test_a_bom_is_no_bundle_and_told_so(chain: Chain) -> None:
    verdict = alone(chain, b'{"bomFormat": "CycloneDX"}', chain.policy())
    assert bad(verdict) == ["malformed-bundle"]
    assert "verify the folder that holds it" in verdict.problems[0].message


# Surplus signatures.


@pytest.mark.parametrize(
    ("window", "rule"), [({"revoked": 1}, "revoked-key"), ({"until": 1}, "expired-key")]
)
def test_naming_one_step_does_not_excuse_a_signer_whose_time_is_over(
    chain: Chain, window: dict[str, int], rule: str
) -> None:
    chain.build()
    others = tuple(s for s in chain.policy().signers if s.name != "trainer")
    signers = (*others, chain.signer_of("trainer", **window))
    verdict = chain.verify(Policy(signers=signers, steps=required("eval")))
    assert rule in bad(verdict)
    assert "surplus-signature" not in remarks(verdict)
    if rule == "expired-key":
        assert any("valid until 1970-01-01" in p.message for p in verdict.problems)


def test_a_strangers_bundle_does_not_excuse_an_unrelated_record(chain: Chain) -> None:
    chain.wrote["data"] = {"nothing.txt": b"zzz"}
    junk = record_statement({"q": b"q"}, (), run_claim("data"))
    chain.sealed("junk", junk, "stranger", 1)
    verdict = chain.build().verify(chain.policy(steps=required("train")))
    assert bad(verdict) == ["unrelated-record"]
    assert "surplus-signature" in remarks(verdict)


def test_bundles_that_are_too_much_together_are_not_read(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MAX_TOTAL", 4000)
    assert "too-large" in bad(chain.build().verify())


# Flags beside a policy.


def policy_file(chain: Chain, until: str = "") -> list[str]:
    window = f", until: {until}" if until else ""
    text = f"version: 1\nkeys: {{al: {{file: keys/publisher.pub{window}}}}}\nroles: {{release: [al]}}\n"
    write_files(chain.path.parent, {"policy.yaml": text.encode()})
    return ["--policy", str(chain.path.parent / "policy.yaml")]


def test_a_flag_does_not_re_admit_a_key_that_the_policy_holds(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    chain.left_out = ("data", "train", "eval")
    command = ["verify", str(chain.build().release.out), "--root", str(chain.path), "-q"]
    command += policy_file(chain, "2020-01-01T00:00:00Z")
    assert run(command) == 3
    assert run([*command, "--key", str(key(chain, "publisher"))]) == 2
    assert "your policy names al" in capsys.readouterr().err


def test_a_flag_beside_a_policy_does_not_move_a_pin(chain: Chain) -> None:
    """Only a signer out of the policy file is a new one that its owner names."""
    chain.left_out = ("data", "train", "eval")
    chain.release.edit_closing = lambda d: d["predicate"].update(purl="pkg:huggingface/a/b@1.0")
    state = ["--state", str(chain.path.parent / "state.json"), "-q"]
    command = ["verify", str(chain.build().release.out), "--root", str(chain.path), *state]
    assert run([*command, "--key", str(key(chain, "publisher"))]) == 0
    people = {**chain.people, "publisher": chain.people["stranger"]}
    other = Chain(chain.path.parent / "other", people, left_out=chain.left_out)
    other.release.edit_closing = lambda d: d["predicate"].update(purl="pkg:huggingface/a/b@2.0")
    command = ["verify", str(other.build().release.out), "--root", str(other.path), *state]
    assert run([*command, *policy_file(chain), "--key", str(key(chain, "stranger"))]) == 3


def test_a_key_for_releases_stands_for_boms_where_nobody_does(chain: Chain) -> None:
    chain.left_out = ("data", "train", "eval")
    command = ["verify", str(chain.build().release.out), "--root", str(chain.path), "-q"]
    publisher, stranger = key(chain, "publisher"), key(chain, "stranger")
    assert run([*command, "--key", f"release={publisher}"]) == 0
    assert run([*command, "--key", f"release={publisher}", "--key", f"bom={stranger}"]) == 3
    (signer,) = with_bom(read_signers([f"train={publisher}"]))
    assert signer.roles == {"train"}


def test_a_stranger_is_told_with_what_to_do(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", str(chain.build().release.out), "--root", str(chain.path), "-q"]
    assert run([*command, "--key", f"release={key(chain, 'publisher')}"]) == 3
    assert "then --key ROLE=PUB" in capsys.readouterr().err


# Archives.


def zipped(chain: Chain, *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for path in sorted(p for p in chain.build().release.out.rglob("*") if p.is_file()):
            name = f"mlbom-out/{path.relative_to(chain.release.out).as_posix()}"
            packed.writestr(zipfile.ZipInfo(name), path.read_bytes())
        for info, data in more:
            packed.writestr(info, data)
    write_files(chain.path, {"r.zip": stream.getvalue()})
    return chain.path / "r.zip"


def unpacked(chain: Chain, place: Path) -> Verdict:
    return verify(place, Trust(chain.policy()), Asked(root=chain.path))


@pytest.mark.parametrize("version", [99, 255])
def test_an_archive_of_a_later_version_is_refused(chain: Chain, version: int) -> None:
    place = zipped(chain)
    data = bytearray(place.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = version
    place.write_bytes(data)
    assert bad(unpacked(chain, place)) == ["unsafe-archive"]


def folder_with_data(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o40755 << 16
    return info


@pytest.mark.parametrize(
    "info",
    [
        zipfile.ZipInfo("mlbom-out/" + "x" * 300),
        zipfile.ZipInfo("mlbom-out/" + "/".join(["y" * 200] * 19)),
        zipfile.ZipInfo("mlbom-out/" + "é" * 130),
        zipfile.ZipInfo("mlbom-out/folder/"),
        folder_with_data("mlbom-out/folder"),
    ],
    ids=["long name", "long path", "long in bytes", "folder with bytes", "folder as a file"],
)
def test_a_member_that_no_file_can_be_is_refused(chain: Chain, info: zipfile.ZipInfo) -> None:
    assert bad(unpacked(chain, zipped(chain, (info, b"q")))) == ["unsafe-archive"]


def test_an_archive_with_the_model_inside_says_where_that_belongs(chain: Chain) -> None:
    verdict = unpacked(chain, zipped(chain, (zipfile.ZipInfo(WEIGHTS), b"q")))
    assert bad(verdict) == ["unsafe-archive"]
    assert "unpack the model beside it and name it by --root" in verdict.problems[0].message


# Rendering again, and numbers of a record.


@pytest.mark.parametrize("bom", [{"specVersion": "9.9"}, {"specVersion": 17}, {}])
def test_a_bom_of_no_version_is_not_rendered_again(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, bom: dict[str, Any]
) -> None:
    made: dict[str, Any] = {"tool_version": __version__, "templates": templates_digest()}
    monkeypatch.setattr(tiny_release, "Release", lambda **told: Release(**told, **made))
    chain.release.bom = {"bomFormat": "CycloneDX", **bom}
    asked = Asked(root=chain.path, rerender=True)
    verdict = verify(chain.build().release.out, Trust(chain.policy()), asked)
    assert bad(verdict) == ["document-differs"]


def test_energy_that_nobody_can_have_used_is_malformed() -> None:
    assert numbers({"energyJoules": {"gpu:0": 5e9}}, "energyJoules") == {"gpu:0": 5e9}
    with pytest.raises(MalformedError):
        numbers({"energyJoules": {"gpu:0": 1e308}}, "energyJoules")


# Copies.


def copied(chain: Chain, target: Path, **asked: Any) -> Verdict:
    told = Asked(**{"root": chain.path, "copy_to": target, **asked})
    return verify(chain.release.out, Trust(chain.policy()), told)


def test_a_copy_is_delivered_last(chain: Chain) -> None:
    chain.build()
    target = chain.path.parent / "a" / "copy"
    (chain.path.parent / "file").write_text("")
    state = chain.path.parent / "file" / "state.json"
    with pytest.raises(StateError):
        copied(chain, target, state=state, state_named=True)
    assert not target.parent.exists()


def test_a_refused_copy_leaves_no_folders(chain: Chain) -> None:
    chain.build()
    write_files(chain.release.root, {"config.json": b"x"})
    assert "digest-mismatch" in bad(copied(chain, chain.path.parent / "a" / "b" / "c"))
    assert not (chain.path.parent / "a").exists()


def inside(chain: Chain) -> Iterator[Path]:
    yield chain.release.root / "inside"
    yield chain.release.root / "a" / ".." / "inside"
    yield chain.release.out / "inside"
    yield chain.path.parent / "new" / ".."


@pytest.mark.parametrize("number", range(4))
def test_a_copy_into_what_is_verified_is_a_usage_error(chain: Chain, number: int) -> None:
    target = list(inside(chain.build()))[number]
    before = sorted(chain.path.parent.rglob("*"))
    with pytest.raises(UsageError):
        copied(chain, target)
    assert sorted(chain.path.parent.rglob("*")) == before
    verdict = copied(chain, chain.path / "new" / ".." / "copy")
    assert {p.name for p in Path(verdict.copied_to).iterdir()} == {
        n.split("/")[0] for n in MODEL_FILES
    }
