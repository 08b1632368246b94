"""`mlbom verify` from the command line: whom to trust, what to remember, what to sign."""

import base64
import json
import zipfile
from pathlib import Path

import pytest

from mlbom.attest.types import VSA_PREDICATE
from mlbom.cli.main import run
from mlbom.sign.newkey import default_key_paths, make_key
from mlbom.sign.signer import Signer
from tests.fixtures.chain import NAMES, ROLES, Chain, new_people
from tests.fixtures.tiny_release import TinyRelease, new_signer, sha256, write_files

POLICY = """
version: 1
model: pkg:generic/*
keys: {publisher: publisher.pub, librarian: librarian.pub, trainer: trainer.pub, tester: tester.pub}
roles: {release: [publisher], data: [librarian], train: [trainer], eval: [tester]}
steps: {data: {}, train: {}, eval: {}}
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    keys = tmp_path / "keys"
    write_files(keys, {f"{n}.pub": people[n].public_key.pem for n in NAMES})
    write_files(keys, {"policy.yaml": POLICY.encode()})
    return Chain(tmp_path / "project", people).build()


def keys_of(chain: Chain, *without: str) -> list[str]:
    folder = chain.path.parent / "keys"
    named = [(r, n) for n, roles in ROLES.items() for r in roles if n not in without]
    return [part for role, name in named for part in ("--key", f"{role}={folder / name}.pub")]


def verify(chain: Chain, *options: str) -> int:
    return run(["verify", str(chain.release.out), "--root", str(chain.path), *options])


def policy_of(chain: Chain) -> list[str]:
    return ["--policy", str(chain.path.parent / "keys" / "policy.yaml")]


def test_keys_by_role_and_a_policy_say_the_same(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(chain, *keys_of(chain)) == 0
    assert "train record train -> model files" in capsys.readouterr().out
    assert verify(chain, *policy_of(chain)) == 0
    assert "policy -> train" in capsys.readouterr().out
    assert verify(chain, *keys_of(chain, "trainer")) == 3


def test_keys_by_flag_add_signers_to_a_policy(chain: Chain) -> None:
    place = chain.path.parent / "keys" / "policy.yaml"
    place.write_text(
        "version: 1\nkeys: {publisher: publisher.pub}\nroles: {release: [publisher]}\n"
    )
    assert verify(chain, *policy_of(chain)) == 3
    assert verify(chain, *policy_of(chain), *keys_of(chain, "publisher")) == 0


def test_a_policy_inside_the_release_is_never_taken(
    chain: Chain, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"mlbom-policy.yaml": POLICY.encode()}
    write_files(chain.release.out, names)
    chain.release.close_again()
    monkeypatch.chdir(chain.release.out)
    assert verify(chain) == 2
    assert "no key to trust" in capsys.readouterr().err
    assert verify(chain, *keys_of(chain)) == 0
    assert "is not used as a policy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--identity", "a@b.c"], "belong together"),
        (["--issuer", "https://x.example"], "belong together"),
        (["--identity", "*", "--issuer", "https://x.example"], "trust everybody"),
        (["--policy-key", "k.pub"], "needs --policy"),
        (["--policy", "gone.yaml"], "policy not found"),
        (["--trust-root", "gone.json"], "trust root not found"),
        (["--key", "gone.pub"], "public key not found"),
    ],
)
def test_what_nobody_can_be_trusted_by(
    chain: Chain, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert verify(chain, *options) == 2
    assert told in capsys.readouterr().err


def test_a_signed_policy_is_demanded(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    folder = chain.path.parent / "keys"
    owner = new_signer(folder, "owner")
    assert owner.public_key
    signed = [*policy_of(chain), "--policy-key", str(folder / "owner.pub")]
    assert verify(chain, *signed) == 3
    assert "error[E0301]" in capsys.readouterr().err
    sign = ["policy", "sign", str(folder / "policy.yaml"), "--key", str(folder / "owner.pem")]
    assert run(sign) == 0
    assert verify(chain, *signed) == 0
    (folder / "trainer.pub").write_bytes(chain.people["stranger"].public_key.pem)
    assert verify(chain, *signed) == 3


def test_json_and_sarif_hold_every_edge(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(chain, *keys_of(chain), "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    names = [edge["name"] for edge in told["edges"]]
    assert "data record data -> train record train" in names
    assert told["verdict"] == "trusted"
    assert verify(chain, *keys_of(chain), "--format", "sarif") == 0
    run_told = json.loads(capsys.readouterr().out)["runs"][0]
    assert [edge["name"] for edge in run_told["properties"]["edges"]][-5:] == names[-5:]


def test_an_older_release_is_remembered_by_default_and_where_one_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = new_signer(tmp_path)
    places = {}
    for version in ("1.0", "2.0"):
        release = TinyRelease(tmp_path / version, signer)
        purl = f"pkg:generic/tiny@{version}"
        release.edit_closing = lambda d, purl=purl: d["predicate"].update(purl=purl)  # type: ignore[misc]
        places[version] = [str(release.build().out), "--key", str(tmp_path / "key.pub")]
    for more in ([], ["--state", str(tmp_path / "state.json")]):
        assert run(["verify", *places["1.0"], *more]) == 0
        assert run(["verify", *places["2.0"], *more]) == 0
        capsys.readouterr()
        assert run(["verify", *places["1.0"], *more]) == 3
        assert "problem rollback" in capsys.readouterr().out
    # Where nothing can be written, the user's own memory is a remark, a named one an error.
    (tmp_path / "full" / "mlbom" / ".state.json.lock").mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "full"))
    assert run(["verify", *places["1.0"]]) == 0
    assert "remark not-remembered" in capsys.readouterr().out
    named = str(tmp_path / "full" / "mlbom" / "state.json")
    assert run(["verify", *places["1.0"], "--state", named]) == 5


def test_a_bad_release_is_not_remembered(chain: Chain) -> None:
    state = chain.path.parent / "state.json"
    assert verify(chain, *keys_of(chain, "trainer"), "--state", str(state)) == 3
    assert not state.exists()
    assert verify(chain, *keys_of(chain), "--state", str(state)) == 0
    assert state.exists()


def attested(chain: Chain) -> dict[str, object]:
    (place,) = (chain.path / ".mlbom" / "attestations").iterdir()
    assert place.name.startswith("09-verdict-")
    assert place.name.endswith(".sigstore.json")
    envelope = json.loads(place.read_bytes())["dsseEnvelope"]
    statement: dict[str, object] = json.loads(base64.b64decode(envelope["payload"]))
    place.unlink()
    return statement


def test_a_verdict_is_signed_by_the_verifier(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    (chain.path / "mlbom.toml").write_text("")
    key = chain.path.parent / "keys" / "verifier.pem"
    new_signer(key.parent, "verifier")
    told = ["--attest", "--attest-key", str(key)]
    assert verify(chain, *policy_of(chain), *told) == 0
    assert "signed verdict: " in capsys.readouterr().err
    statement = attested(chain)
    assert statement["predicateType"] == VSA_PREDICATE
    manifest = sha256((chain.release.out / "model.manifest").read_bytes())
    assert statement["subject"] == [{"name": "model.manifest", "digest": {"sha256": manifest}}]
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"] == ["SLSA_BUILD_LEVEL_1"]
    assert predicate["resourceUri"] == "pkg:generic/tiny@1.0.0"
    policy = (chain.path.parent / "keys" / "policy.yaml").read_bytes()
    assert predicate["policy"] == {"uri": "policy.yaml", "digest": {"sha256": sha256(policy)}}
    assert len(predicate["inputAttestations"]) == 6
    write_files(chain.release.root, {"extra.py": b""})
    assert verify(chain, *policy_of(chain), *told) == 3
    failed = attested(chain)["predicate"]
    assert isinstance(failed, dict)
    assert (failed["verificationResult"], failed["verifiedLevels"]) == ("FAILED", ["FAILED"])


def test_a_verdict_about_nothing_is_not_signed(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    make_key(default_key_paths())
    stranger = str(chain.path.parent / "keys" / "stranger.pub")
    assert verify(chain, "--key", stranger, "--attest") == 2
    assert "nothing to attest" in capsys.readouterr().err
    bundle = str(chain.release.bundle("weights"))
    assert run(["verify", bundle, "--key", stranger, "--attest"]) == 2


def test_a_zip_file_and_a_single_bundle_are_verified(chain: Chain, tmp_path: Path) -> None:
    place = tmp_path / "tiny.zip"
    with zipfile.ZipFile(place, "w") as packed:
        for path in sorted(chain.release.out.rglob("*")):
            if path.is_file():
                packed.write(path, f"mlbom-out/{path.relative_to(chain.release.out).as_posix()}")
    root = ["--root", str(chain.release.root)]
    assert run(["verify", str(place), *root, *keys_of(chain)]) == 0
    bundle = str(chain.release.bundle("weights"))
    assert run(["verify", bundle, *root, *keys_of(chain)]) == 0
    (chain.release.root / "config.json").write_bytes(b"{}")
    assert run(["verify", str(place), *root, *keys_of(chain)]) == 3
    assert run(["verify", bundle, *root, *keys_of(chain)]) == 3


def test_the_model_is_handed_over(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    target = chain.path.parent / "model"
    assert verify(chain, *keys_of(chain), "--copy-to", str(target)) == 0
    assert f"copied to   {target}" in capsys.readouterr().out
    assert (target / "model.safetensors").read_bytes() == chain.release.model["model.safetensors"]
    assert verify(chain, *keys_of(chain), "--copy-to", str(target)) == 2
