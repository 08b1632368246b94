"""When was it signed? Rotated, revoked and replayed keys, with timestamps and without."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.sign.signer import Signer
from mlbom.sign.timestamp import _new_request
from mlbom.status import ExitStatus
from mlbom.verify.memory import State
from mlbom.verify.policy.values import Policy, TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers import timestamps
from mlbom.verify.signers.timestamps import trusted_time
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import Chain, new_people, required
from tests.fixtures.timestamps import Authority, make_authority
from tests.fixtures.tiny_release import TinyRelease, new_signer, sha256

DAY = 86400
pytest.importorskip("rfc3161_client")
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def stamp(authority: Authority, data: bytes) -> bytes:
    return authority.reply(_new_request(data).as_bytes())


def root_of(authority: Authority) -> tuple[bytes]:
    return ((authority.folder / "root.pem").read_bytes(),)


def stamped(chain: Chain, authority: Authority) -> Chain:
    chain.stamps["train"] = lambda signature: stamp(authority, signature)
    return chain.build()


def policy_with(chain: Chain, authority: Authority | None, **window: int) -> Policy:
    others = tuple(s for s in chain.policy().signers if s.name != "trainer")
    roots = root_of(authority) if authority else ()
    signers = (*others, chain.signer_of("trainer", **window))
    return Policy(signers=signers, timestamp_roots=roots)


def rules(verdict: Verdict) -> list[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return [p.rule for p in verdict.problems if p.status is ExitStatus.UNTRUSTED]


@needs_openssl
def test_a_rotated_key_counts_for_what_it_signed_in_its_time(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    """Row 9: inside the old window with a timestamp 0, without one 3."""
    now = int(time.time())
    chain = stamped(Chain(tmp_path / "a", people), authority)
    window = {"since": now - DAY, "until": now + 3600}
    good = chain.verify(policy_with(chain, authority, **window), now=now + 30 * DAY)
    assert good.status is ExitStatus.DONE
    assert any("signed by 20" in edge.why for edge in good.edges)
    plain = Chain(tmp_path / "b", people).build()
    for release, roots in ((plain, authority), (chain, None)):
        policy = policy_with(release, roots, **window)
        assert rules(release.verify(policy, now=now + 30 * DAY)) == ["expired-key"]


@needs_openssl
def test_a_revoked_key_counts_for_what_is_proven_to_be_older(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    """Row 10: a signature after the revocation is refused."""
    now = int(time.time())
    chain = stamped(Chain(tmp_path / "a", people), authority)
    later = now + 2 * DAY
    old = policy_with(chain, authority, revoked=now + DAY)
    assert chain.verify(old, now=later).status is ExitStatus.DONE
    assert rules(chain.verify(replace(old, timestamp_roots=()), now=later)) == ["revoked-key"]
    revoked_before = policy_with(chain, authority, revoked=now - DAY)
    assert rules(chain.verify(revoked_before, now=later)) == ["revoked-key"]


@needs_openssl
def test_a_signature_from_before_the_window_is_refused(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    now = int(time.time())
    chain = stamped(Chain(tmp_path / "a", people), authority)
    policy = policy_with(chain, authority, since=now + DAY)
    assert rules(chain.verify(policy, now=now + 2 * DAY)) == ["not-yet-valid"]


@needs_openssl
def test_a_timestamp_of_another_signature_is_refused(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    """Row 56, with roots to check by; without any the token counts for nothing."""
    chain = Chain(tmp_path / "a", people)
    token = stamp(authority, b"another signature")
    chain.stamps["train"] = lambda _signature: token
    chain.build()
    assert rules(chain.verify(policy_with(chain, authority))) == ["bad-timestamp"]
    assert chain.verify(policy_with(chain, None)).status is ExitStatus.DONE


@needs_openssl
def test_a_timestamp_by_a_stranger_is_refused(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    stranger = make_authority(tmp_path / "stranger")
    chain = stamped(Chain(tmp_path / "a", people), stranger)
    assert rules(chain.verify(policy_with(chain, authority))) == ["bad-timestamp"]
    steps = replace(policy_with(chain, authority), steps=required("train"))
    assert rules(chain.verify(steps)) == ["bad-timestamp", "missing-statement"]


@needs_openssl
def test_the_certificate_must_be_for_time_stamping(authority: Authority, tmp_path: Path) -> None:
    """The authority's root also vouches for a certificate of another use, on the same key."""
    token = stamp(authority, b"sig")
    assert trusted_time([token], b"sig", root_of(authority))
    good = certificate_der(authority.folder / "tsa.pem")
    for usage in ("critical, codeSigning", "timeStamping"):
        bad = same_key_other_use(authority, tmp_path, usage)
        with pytest.raises(Refusal) as caught:
            trusted_time([exchanged(token, good, bad)], b"sig", root_of(authority))
        assert caught.value.rule == "bad-timestamp"
    assert exchanged(token, good, good) == token


def same_key_other_use(authority: Authority, folder: Path, usage: str) -> bytes:
    """Return a certificate with the names, serial number and key of the authority's own."""
    import subprocess

    (folder / "x.ext").write_text(f"extendedKeyUsage = {usage}\n")
    from cryptography import x509

    own = x509.load_pem_x509_certificate((authority.folder / "tsa.pem").read_bytes())
    where = authority.folder
    command = ["openssl", "x509", "-req", "-in", str(where / "tsa.csr"), "-CA"]
    command += [str(where / "root.pem"), "-CAkey", str(where / "root.key"), "-days", "30"]
    command += ["-set_serial", str(own.serial_number), "-extfile", str(folder / "x.ext")]
    subprocess.run([*command, "-out", str(folder / "x.pem")], check=True, capture_output=True)
    return certificate_der(folder / "x.pem")


def certificate_der(path: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def exchanged(der: bytes, old: bytes, new: bytes) -> bytes:
    """Return DER with one element exchanged for another, all lengths around it made to fit."""
    if der == old:
        return new
    head = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    if not der[0] & 0x20 or old not in der:
        return der
    parts, at = [], head
    while at < len(der):
        size = 2 + der[at + 1]
        if der[at + 1] & 0x80:
            count = der[at + 1] & 0x7F
            size = 2 + count + int.from_bytes(der[at + 2 : at + 2 + count], "big")
        parts.append(exchanged(der[at : at + size], old, new))
        at += size
    body = b"".join(parts)
    told = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
    length = told if len(body) < 0x80 else bytes([0x80 | len(told)]) + told
    return der[:1] + length + body


@needs_openssl
def test_a_token_from_before_the_certificate_was_valid_is_refused(tmp_path: Path) -> None:
    """The token is from now; the authority's certificate begins tomorrow."""
    import subprocess

    authority = make_authority(tmp_path / "authority")
    token = stamp(authority, b"sig")
    good = certificate_der(authority.folder / "tsa.pem")
    later = _later_certificate(authority)
    with pytest.raises(Refusal, match="vouches for its time") as caught:
        trusted_time([exchanged(token, good, later)], b"sig", root_of(authority))
    assert caught.value.rule == "bad-timestamp"
    assert subprocess.run(["openssl", "version"], check=False, capture_output=True).returncode == 0


def _later_certificate(authority: Authority) -> bytes:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    own = x509.load_pem_x509_certificate((authority.folder / "tsa.pem").read_bytes())
    root_key = load_pem_private_key((authority.folder / "root.key").read_bytes(), None)
    start = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(own.subject).issuer_name(own.issuer)
    made = made.public_key(own.public_key()).serial_number(own.serial_number)
    made = made.not_valid_before(start).not_valid_after(start + dt.timedelta(days=1))
    for extension in own.extensions:
        made = made.add_extension(extension.value, critical=extension.critical)
    return made.sign(root_key, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]


@needs_openssl
def test_no_flipped_bit_of_a_token_proves_another_time(authority: Authority) -> None:
    token = stamp(authority, b"sig")
    told = trusted_time([token], b"sig", root_of(authority))
    for position in range(0, len(token), 7):
        changed = bytearray(token)
        changed[position] ^= 1 << (position % 8)
        try:
            again = trusted_time([bytes(changed)], b"sig", root_of(authority))
        except Refusal as refused:
            assert refused.rule == "bad-timestamp"
        else:
            assert again == told, position


def test_what_is_no_token_at_all_is_refused(tmp_path: Path) -> None:
    from tests.fixtures.policies import certificate

    for token in (b"x", b"0\x82\xff\xff", b"0\x05\x30\x03\x02\x01\x02", bytes(200)):
        with pytest.raises(Refusal) as caught:
            trusted_time([token], b"sig", (certificate(),))
        assert caught.value.rule == "bad-timestamp"
    with pytest.raises(Refusal, match="more than 32"):
        trusted_time([b"x"] * 33, b"sig", (certificate(),))


def test_without_the_library_nothing_is_told(
    tmp_path: Path, people: dict[str, Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Could not tell is 4, never 0."""
    import sys

    from tests.fixtures.policies import certificate

    chain = Chain(tmp_path / "a", people)
    chain.stamps["train"] = lambda _signature: b"token"
    chain.build()
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    verdict = chain.verify(replace(chain.policy(), timestamp_roots=(certificate(),)))
    assert [p.rule for p in verdict.problems if p.status] == ["library-missing"]
    assert verdict.status is ExitStatus.INCOMPLETE
    assert timestamps.MOST_TOKENS == 32


@needs_openssl
def test_a_freeze_is_told_by_the_age_of_the_closing_timestamp(
    tmp_path: Path, people: dict[str, Signer], authority: Authority
) -> None:
    """Row 5: the clock is the timestamp's, never a file's date."""
    chain = Chain(tmp_path / "a", people).build()
    closing = chain.release.bundle("release")
    stamp_bundle(closing, authority)
    policy = chain.policy(timestamp_roots=root_of(authority), max_age_s=10 * DAY)
    now = int(time.time())
    assert chain.verify(policy, now=now).status is ExitStatus.DONE
    assert rules(chain.verify(policy, now=now + 11 * DAY)) == ["too-old"]
    assert rules(chain.verify(replace(policy, timestamp_roots=()))) == ["no-trusted-time"]


def stamp_bundle(path: Path, authority: Authority) -> None:
    """Add a timestamp to a bundle; it is outside what is signed."""
    import json

    from mlbom.attest.bundle import bundle_bytes, parse_bundle

    bundle = parse_bundle(json.loads(path.read_bytes()))
    token = stamp(authority, bundle.envelope.signature)
    path.write_bytes(bundle_bytes(bundle.envelope, bundle.hint, [token]))


HUB_NAME = "pkg:huggingface/org/tiny"


def released(
    folder: Path, signer: Signer, version: str, name: str = HUB_NAME, **model: bytes
) -> TinyRelease:
    release = TinyRelease(folder, signer)
    release.model.update({name.replace("_", "."): data for name, data in model.items()})
    purl = f"{name}@{version}"
    release.edit_closing = lambda d: d["predicate"].update(purl=purl)
    return release.build()


def seen(verdict: Verdict, state: State) -> State:
    from mlbom.verify.chain.conditions import Identified

    assert verdict.status is ExitStatus.DONE
    known = Identified(
        purl=verdict.purl, manifest=verdict.manifest, signer=verdict.material, time=None
    )
    return state.with_sighting(known.sightings[0])


def test_a_rollback_is_told_by_memory(tmp_path: Path) -> None:
    """Row 4."""
    signer = new_signer(tmp_path)
    new = released(tmp_path / "new", signer, "1.10.0", a_txt=b"new")
    old = released(tmp_path / "old", signer, "1.9.0")
    state = seen(new.verify(state=State()), State())
    verdict = old.verify(state=state)
    assert rules(verdict) == ["rollback"]
    assert any(e.name == "memory -> this release" and e.status == "failed" for e in verdict.edges)
    assert old.verify(state=State()).status is ExitStatus.DONE


def test_one_version_with_two_manifests_is_told_by_memory(tmp_path: Path) -> None:
    signer = new_signer(tmp_path)
    state = seen(released(tmp_path / "a", signer, "1.0").verify(), State())
    other = released(tmp_path / "b", signer, "1.0", a_txt=b"changed")
    assert rules(other.verify(state=state)) == ["version-reused"]


def test_another_signer_is_told_by_memory(tmp_path: Path) -> None:
    first, second = new_signer(tmp_path, "a"), new_signer(tmp_path, "b")
    state = seen(released(tmp_path / "a", first, "1.0").verify(), State())
    other = released(tmp_path / "b", second, "1.1")
    assert rules(other.verify(state=state)) == ["pin-changed"]
    named = other.verify(state=state, signer_named=True)
    assert named.status is ExitStatus.DONE
    assert [p.rule for p in named.problems] == ["signer-changed"]


def test_a_name_that_anybody_may_use_is_kept_for_each_signer(tmp_path: Path) -> None:
    """Two projects called alike are no rollback of each other."""
    first, second = new_signer(tmp_path, "a"), new_signer(tmp_path, "b")
    generic = "pkg:generic/model"
    state = seen(released(tmp_path / "a", first, "2.0", generic).verify(), State())
    other = released(tmp_path / "b", second, "1.0", generic)
    assert other.verify(state=state).status is ExitStatus.DONE
    older = released(tmp_path / "c", first, "1.0", generic)
    assert rules(older.verify(state=state)) == ["rollback"]


def test_a_release_without_an_order_is_never_a_rollback(tmp_path: Path) -> None:
    signer = new_signer(tmp_path)
    state = seen(released(tmp_path / "a", signer, "2.0").verify(), State())
    unordered = released(tmp_path / "b", signer, "0%2B0123456789ab", a_txt=b"x")
    assert unordered.verify(state=state).status is ExitStatus.DONE
    assert isinstance(unordered.verify(state=state), Verdict)
    assert sha256(b"") != TrustedSigner(name="x").material
