"""A PKCS#11 token (SoftHSM2) signs models; its key never leaves it, its absence is an error."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.attest.dsse import pae
from mlbom.attest.publickey import PublicKey, parse_public_key
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.sign.newkey import KEY_NAMES, KeyPaths, make_key
from tests.fixtures.tiny_release import write_files

pytestmark = pytest.mark.oracle
# Where distributions put the driver; MLBOM_ORACLE_PKCS11 names another place.
DRIVERS = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "2468"
MODEL = {"config.json": b"{}", "w.safetensors": b"x" * 99}


@dataclass(frozen=True)
class Token:
    """A token with one key, and the environment in which mlbom finds it."""

    folder: Path
    driver: str
    public: PublicKey

    def environment(self, pin: str | None = PIN) -> dict[str, str]:
        told = {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"), "PYKCS11LIB": self.driver}
        told |= {} if pin is None else {PASSPHRASE_VARIABLE: pin}
        return {**os.environ, **told}

    def run(self, *command: str, pin: str | None = PIN) -> subprocess.CompletedProcess[str]:
        """Run Python with the token; a driver can be loaded only once in a process."""
        return subprocess.run(
            [sys.executable, *command],
            env=self.environment(pin),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def sign(
        self, model: Path, uri: str, pin: str | None = PIN
    ) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "mlbom", "sign", str(model), "--key", uri, pin=pin)


def softhsm() -> str:
    for name in ("securesystemslib", "pkcs11"):
        if "MLBOM_ORACLES_REQUIRED" not in os.environ:
            pytest.importorskip(name)
    told = os.environ.get("MLBOM_ORACLE_PKCS11", "")
    driver = next((path for path in (told, *DRIVERS) if path and Path(path).is_file()), "")
    is_here = bool(driver) and shutil.which("softhsm2-util") is not None
    if not is_here and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("SoftHSM2 is not installed")
    assert is_here, "SoftHSM2 is not installed"
    return driver


@pytest.fixture(params=["p256", "p384"])
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Token:
    driver = softhsm()
    folder = tmp_path / "hsm"
    (folder / "tokens").mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    pair = KeyPaths.of(folder / "imported.pem")
    public = make_key(pair, KEY_NAMES[request.param])
    token = Token(folder, driver, public)
    labels = ["--label", "box", "--pin", PIN]
    util(token, "--init-token", "--free", "--so-pin", "1357", *labels)
    util(token, "--import", str(pair.private), "--token", "box", "--id", "02", *labels)
    pair.private.unlink()
    return token


def util(token: Token, *options: str) -> None:
    command = ["softhsm2-util", *options]
    done = subprocess.run(command, env=token.environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", MODEL)
    return tmp_path / "model"


@pytest.mark.parametrize("uri", ["hsm:2?label=box", "hsm:?label=box", "hsm:2", "hsm:"])
def test_a_token_signs_and_its_public_half_verifies(uri: str, token: Token, model: Path) -> None:
    done = token.sign(model, uri)
    assert done.returncode == 0, done.stderr
    assert token.public.hint in done.stderr
    bundle = parse_bundle(json.loads((model / "model.sig").read_bytes()))
    envelope = bundle.envelope
    covered = pae(envelope.payload_type, envelope.payload)
    assert bundle.hint == token.public.hint
    assert token.public.verify(envelope.signature, covered)
    assert not token.public.verify(envelope.signature, covered + b" ")
    flipped = envelope.signature[:-1] + bytes([envelope.signature[-1] ^ 1])
    assert not token.public.verify(flipped, covered)


def test_the_public_half_is_shown(token: Token) -> None:
    done = token.run("-m", "mlbom", "keys", "show", "hsm:2?label=box")
    assert done.returncode == 0, done.stderr
    assert parse_public_key(done.stdout.encode(), "shown") == token.public


FAULTS = {
    "hsm:3?label=box": (5, "could not find ECDSA key"),
    "hsm:2?label=elsewhere": (5, "No PKCS#11 token found"),
    "hsm:two": (2, "the number of a key"),
}


@pytest.mark.parametrize("uri", FAULTS)
def test_a_key_that_is_not_there_is_an_error_with_a_code(
    uri: str, token: Token, model: Path
) -> None:
    status, message = FAULTS[uri]
    done = token.sign(model, uri)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert message in done.stderr
    assert sorted(p.name for p in model.iterdir()) == sorted(MODEL)


@pytest.mark.parametrize(("pin", "message"), [("9999", "PinIncorrect"), (None, "needs a pin")])
def test_a_wrong_or_missing_pin_signs_nothing(
    pin: str | None, message: str, token: Token, model: Path
) -> None:
    done = token.sign(model, "hsm:2?label=box", pin)
    assert done.returncode == 5
    assert message in done.stderr
    assert "9999" not in done.stderr
    assert sorted(p.name for p in model.iterdir()) == sorted(MODEL)


def test_a_driver_that_is_not_named_or_no_driver_is_an_error(token: Token, model: Path) -> None:
    for driver, message in (("", "PYKCS11LIB"), (str(token.folder / "none.so"), "none.so")):
        done = Token(token.folder, driver, token.public).sign(model, "hsm:2")
        assert done.returncode == 5, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr


UNPLUGGED = """
import shutil, sys
from pathlib import Path
from mlbom.errors import SigningError
from mlbom.pipeline.sign import SignRequest, sign_model
from mlbom.sign.signer import open_signer

model, tokens = map(Path, sys.argv[1:])
signer = open_signer("hsm:2?label=box")
sign_model(SignRequest(path=model, signature=model.parent / "first.sig"), signer)
shutil.rmtree(tokens)
tokens.mkdir()
try:
    sign_model(SignRequest(path=model, signature=model.parent / "second.sig"), signer)
except SigningError as error:
    print(error.code, int(error.status))
"""


def test_a_token_that_is_unplugged_meanwhile_leaves_no_half_bundle(
    token: Token, model: Path
) -> None:
    done = token.run("-c", UNPLUGGED, str(model), str(token.folder / "tokens"))
    assert done.stdout.split() == ["E0504", "5"], done.stderr
    assert (model.parent / "first.sig").is_file()
    assert not list(model.parent.glob("*second*"))
    assert sorted(p.name for p in model.iterdir()) == sorted(MODEL)


def test_the_pin_reaches_no_child_and_no_file(token: Token, model: Path) -> None:
    script = "import os; from mlbom.sign.signer import open_signer; open_signer('hsm:2'); "
    script += f"print(os.environ.get({PASSPHRASE_VARIABLE!r}))"
    assert token.run("-c", script).stdout.strip() == "None"
    assert token.sign(model, "hsm:2").returncode == 0
    assert PIN.encode() not in (model / "model.sig").read_bytes()
