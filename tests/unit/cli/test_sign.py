"""`mlbom sign` and `mlbom keys` as a person uses them: exit codes, messages, what is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mlbom.attest.publickey import parse_public_key
from mlbom.cli.main import run
from mlbom.sign.newkey import KeyPaths, default_key_paths, make_key
from mlbom.sign.signer import open_signer
from tests.fixtures.tiny_release import write_files

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", {"config.json": b"{}", "w.safetensors": b"x"})
    return tmp_path / "model"


@pytest.fixture
def key(tmp_path: Path) -> KeyPaths:
    paths = KeyPaths.of(tmp_path / "keys" / "me.pem")
    make_key(paths)
    return paths


def hint(key: KeyPaths) -> str:
    return parse_public_key(key.public.read_bytes(), "me").hint


def test_a_model_is_signed_and_said_to_be(model: Path, key: KeyPaths, capsys: Captured) -> None:
    assert run(["sign", str(model), "--key", str(key.private)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "signed       model: 2 files, 3 bytes" in told.err
    assert f"signature    {model / 'model.sig'}" in told.err
    assert f"signer       {hint(key)}" in told.err
    assert run(["sign", str(model / "config.json"), "--key", str(key.private), "-q"]) == 0
    assert (model / "config.json.sig").is_file()
    assert capsys.readouterr().err == ""


def test_paths_are_taken_as_they_are_told(
    model: Path, key: KeyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    assert run(["sign", ".", "--key", "../keys/me.pem"]) == 0
    assert run(["sign", ".", "--key", "../keys/me.pem", "-o", "../out.sig"]) == 0
    assert (model / "model.sig").read_bytes() == (model.parent / "out.sig").read_bytes()
    (model.parent / "link").symlink_to(model)
    assert run(["sign", "../link", "--key", "../keys/me.pem", "-o", "../link.sig"]) == 0
    assert (model.parent / "link.sig").read_bytes() == (model.parent / "out.sig").read_bytes()


def test_without_a_key_ones_own_is_made_and_told(model: Path, capsys: Captured) -> None:
    assert run(["sign", str(model)]) == 0
    told = capsys.readouterr().err
    assert "made your signing key" in told
    assert default_key_paths().private.is_file()


def test_under_ci_the_choice_must_be_made(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("CI", "true")
    assert run(["sign", str(model)]) == 2
    assert "error[E0106]" in capsys.readouterr().err
    assert not (model / "model.sig").exists()


def test_lost_verifiers_are_told(model: Path, tmp_path: Path, capsys: Captured) -> None:
    path = str(tmp_path / "pq.pem")
    assert run(["keys", "new", path, "--type", "ml-dsa-65"]) == 0
    assert "model_signing cannot check signatures of ml-dsa-65 keys" in capsys.readouterr().out
    assert run(["sign", str(model), "--key", path]) == 0
    assert "model_signing cannot check ml-dsa-65 keys" in capsys.readouterr().err


USAGE = {
    "nothing there": (["gone"], "E0101"),
    "unknown scheme": (["model", "--key", "gnupg:ABC"], "E0100"),
    "no such key": (["model", "--key", "none.pem"], "E0101"),
    "http": (["model", "--key", "keys/me.pem", "--timestamp", "http://tsa.example"], "E0100"),
    "ftp": (["model", "--key", "keys/me.pem", "--timestamp", "ftp://tsa.example"], "E0100"),
    "a query": (["model", "--key", "keys/me.pem", "--timestamp", "t.tsq"], "E0100"),
    "no signature": (["model", "--key", "keys/me.pem", "-o", "model/config.json"], "E0100"),
    "no earlier one": (["model", "--key", "keys/me.pem", "--reuse", "gone.sig"], "E0101"),
}


@pytest.mark.parametrize("what", USAGE)
def test_what_cannot_be_done_as_asked_is_exit_2(
    what: str,
    model: Path,
    key: KeyPaths,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(model.parent)
    command, code = USAGE[what]
    assert run(["sign", *command]) == 2
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (model / "model.sig").exists()


def test_key_and_keyless_are_one_choice(model: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["sign", str(model), "--key", "a", "--keyless"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_keyless_without_an_identity_says_where_it_works(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pytest.importorskip("sigstore")
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("id.detect_credential", lambda _audience: None)
    assert run(["sign", str(model), "--keyless"]) == 5
    told = capsys.readouterr().err
    assert "this machine has no identity to sign with" in told
    assert "id-token: write" in told
    assert not (model / "model.sig").exists()


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "google"),
        ("azurekms://house.vault.azure.net/keys/release", "azure"),
        ("awskms:alias/release", "boto3"),
        ("hv:release", "hvac"),
        ("tkey:?digest=0123456", "keylet"),
    ],
)
def test_a_missing_library_is_named(
    uri: str, package: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Every scheme of the table but those that need nothing, where nothing is installed."""
    for name in [n for n in sys.modules if n.split(".")[0] in {"securesystemslib", package}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert run(["sign", str(model), "--key", uri]) == 5
    told = capsys.readouterr().err
    assert f"sign with {uri.partition(':')[0]}: keys are not installed" in told
    assert "hint: pip install" in told
    assert not (model / "model.sig").exists()


def test_sign_starts_without_heavy_libraries() -> None:
    script = "import sys, mlbom.cli.sign; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.decode().split()}
    heavy = {"cryptography", "securesystemslib", "sigstore", "rfc3161_client", "ssl", "yaml"}
    assert not loaded & heavy


def test_rotation_prints_what_a_policy_needs(key: KeyPaths, capsys: Captured) -> None:
    old = hint(key)
    assert run(["keys", "rotate", str(key.private)]) == 0
    told = capsys.readouterr().out
    assert f"fingerprint  {hint(key)}" in told
    snippet = yaml.safe_load(told[told.index("keys:") :])["keys"]
    assert snippet["me"]["file"] == "me.pub"
    assert snippet[f"me-{old[:8]}"]["file"] == f"me.{old[:8]}.pub"
    assert snippet["me"]["since"] == snippet[f"me-{old[:8]}"]["until"]
    assert re.search(r"since: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told)
    assert (key.private.parent / f"me.{old[:8]}.pem").is_file()


def test_rotating_an_encrypted_key_gives_an_encrypted_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths, passphrase="one")
    monkeypatch.setenv("MLBOM_KEY_PASSPHRASE", "two")
    assert run(["keys", "rotate", str(paths.private)]) == 0
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in paths.private.read_bytes()
    monkeypatch.setenv("MLBOM_KEY_PASSPHRASE", "two")
    assert open_signer(str(paths.private)).public_key.hint == hint(paths)
    assert "MLBOM_KEY_PASSPHRASE" not in os.environ


def test_odd_names_are_quoted_in_the_snippet(tmp_path: Path, capsys: Captured) -> None:
    paths = KeyPaths.of(tmp_path / "on, {2}: #.pem")
    make_key(paths)
    assert run(["keys", "rotate", str(paths.private)]) == 0
    told = capsys.readouterr().out
    snippet = yaml.safe_load(told[told.index("keys:") :])["keys"]
    assert snippet["on, {2}: #"]["file"] == "on, {2}: #.pub"


@pytest.mark.parametrize("action", ["new", "show", "rotate"])
def test_a_folder_is_no_key(action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["keys", action, "."]) == 2
    assert list(tmp_path.iterdir()) == []
