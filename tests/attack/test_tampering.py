"""Changing what was signed: every mutation of a release's files ends 3 and says what it found."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.report import lines
from tests.fixtures.tiny_release import TinyRelease, new_signer, single_file_release, write_files

# What an attack does to a built release, the rule it must break, and what the message must name.
Attack = Callable[[TinyRelease], tuple[str, str]]
ATTACKS: list[Attack] = []


def attack(function: Attack) -> Attack:
    """Enter a function into the table of attacks."""
    ATTACKS.append(function)
    return function


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


def flip(path: Path, position: int = 10) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@attack
def one_byte_of_the_weights_is_flipped(r: TinyRelease) -> tuple[str, str]:
    flip(r.root / "model.safetensors")
    return "digest-mismatch", "model.safetensors was changed: its sha256 is"


@attack
def the_weights_are_cut_short(r: TinyRelease) -> tuple[str, str]:
    path = r.root / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    return "digest-mismatch", "model.safetensors"


@attack
def bytes_are_appended_to_the_weights(r: TinyRelease) -> tuple[str, str]:
    with (r.root / "model.safetensors").open("ab") as stream:
        stream.write(b"\x80\x04.")
    return "digest-mismatch", "model.safetensors"


@attack
def a_model_file_is_removed(r: TinyRelease) -> tuple[str, str]:
    (r.root / "tokenizer/vocab.txt").unlink()
    return "file-missing", "tokenizer/vocab.txt is missing"


@attack
def a_file_is_added_to_the_model(r: TinyRelease) -> tuple[str, str]:
    write_files(r.root, {"modeling_tiny.py": b"print('hello')\n"})
    return "file-extra", "modeling_tiny.py is here, but model.manifest does not list it"


@attack
def a_file_is_added_deep_in_the_model(r: TinyRelease) -> tuple[str, str]:
    write_files(r.root, {"tokenizer/.git/hooks/post-checkout": b"#!/bin/sh\n"})
    return "file-extra", "tokenizer/.git/hooks/post-checkout"


@attack
def a_model_file_is_renamed(r: TinyRelease) -> tuple[str, str]:
    (r.root / "model.safetensors").rename(r.root / "model.bin")
    return "file-renamed", "model.safetensors has been renamed: its bytes are here as model.bin"


@attack
def two_model_files_are_swapped(r: TinyRelease) -> tuple[str, str]:
    swap(r.root / "config.json", r.root / "tokenizer/vocab.txt")
    return "digest-mismatch", "config.json"


@attack
def a_link_to_equal_bytes_replaces_a_model_file(r: TinyRelease) -> tuple[str, str]:
    (r.root / "model.safetensors").rename(r.path / "elsewhere")
    (r.root / "model.safetensors").symlink_to(r.path / "elsewhere")
    return "not-a-regular-file", "model.safetensors is a link"


@attack
def a_link_is_added_to_the_model(r: TinyRelease) -> tuple[str, str]:
    (r.root / "tokenizer/extra.json").symlink_to("/etc/hostname")
    return "not-a-regular-file", "tokenizer/extra.json is a link to /etc/hostname"


@attack
def a_link_replaces_a_folder_of_the_model(r: TinyRelease) -> tuple[str, str]:
    (r.root / "tokenizer").rename(r.path / "elsewhere")
    (r.root / "tokenizer").symlink_to(r.path / "elsewhere")
    return "not-a-regular-file", "tokenizer is a link"


@attack
def the_model_root_is_reached_through_a_link(r: TinyRelease) -> tuple[str, str]:
    (r.path / "models").rename(r.path / "other")
    (r.path / "models").symlink_to("other")
    return "not-a-regular-file", "models/tiny is reached through a link"


@attack
def a_pipe_replaces_a_model_file(r: TinyRelease) -> tuple[str, str]:
    (r.root / "config.json").unlink()
    os.mkfifo(r.root / "config.json")
    return "not-a-regular-file", "config.json is a device, pipe or socket"


@attack
def a_folder_replaces_a_model_file(r: TinyRelease) -> tuple[str, str]:
    (r.root / "config.json").unlink()
    (r.root / "config.json").mkdir()
    return "file-missing", "config.json"


@attack
def a_name_differs_in_case_only(r: TinyRelease) -> tuple[str, str]:
    if (r.root / "CONFIG.JSON").exists():
        pytest.skip("this file system folds case")
    write_files(r.root, {"Config.json": b"{}"})
    return "file-extra", "Config.json"


@attack
def the_whole_model_is_gone(r: TinyRelease) -> tuple[str, str]:
    shutil.rmtree(r.root)
    return "file-missing", "model.safetensors"


@attack
def one_byte_of_the_card_is_flipped(r: TinyRelease) -> tuple[str, str]:
    flip(r.out / "MODEL_CARD.md", 3)
    return "digest-mismatch", "MODEL_CARD.md"


@attack
def the_report_is_removed(r: TinyRelease) -> tuple[str, str]:
    (r.out / "report.html").unlink()
    return "file-missing", "report.html is missing, the closing statement lists it"


@attack
def a_file_is_added_to_the_output_directory(r: TinyRelease) -> tuple[str, str]:
    write_files(r.out, {"img/extra.svg": b"<svg/>"})
    return "file-extra", "img/extra.svg"


@attack
def an_output_file_is_renamed(r: TinyRelease) -> tuple[str, str]:
    (r.out / "MODEL_CARD.md").rename(r.out / "README.md")
    return "file-renamed", "MODEL_CARD.md has been renamed: its bytes are here as README.md"


@attack
def two_output_files_are_swapped(r: TinyRelease) -> tuple[str, str]:
    swap(r.out / "MODEL_CARD.md", r.out / "report.html")
    return "digest-mismatch", "MODEL_CARD.md"


@attack
def a_link_to_equal_bytes_replaces_an_output_file(r: TinyRelease) -> tuple[str, str]:
    (r.out / "report.html").rename(r.path / "report.html")
    (r.out / "report.html").symlink_to(r.path / "report.html")
    return "not-a-regular-file", "report.html is a link"


@attack
def summary_json_becomes_a_link(r: TinyRelease) -> tuple[str, str]:
    (r.out / "summary.json").unlink()
    (r.out / "summary.json").symlink_to("/etc/hostname")
    return "not-a-regular-file", "summary.json"


@attack
def the_lines_of_the_manifest_are_reordered(r: TinyRelease) -> tuple[str, str]:
    path = r.out / "model.manifest"
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    return "digest-mismatch", "model.manifest"


@attack
def a_line_of_the_manifest_is_removed_with_its_file(r: TinyRelease) -> tuple[str, str]:
    path = r.out / "model.manifest"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    (r.root / "tokenizer/vocab.txt").unlink()
    return "digest-mismatch", "model.manifest"


@attack
def the_bom_is_edited(r: TinyRelease) -> tuple[str, str]:
    path = r.out / "bom.cdx.json"
    path.write_text(json.dumps({**r.bom, "components": []}))
    return "digest-mismatch", "bom.cdx.json"


@attack
def the_evidence_points_elsewhere(r: TinyRelease) -> tuple[str, str]:
    path = r.out / "evidence.json"
    path.write_bytes(path.read_bytes().replace(b"models/tiny", b"models/evil"))
    return "digest-mismatch", "evidence.json"


@attack
def all_attestations_are_stripped(r: TinyRelease) -> tuple[str, str]:
    shutil.rmtree(r.out / "attestations")
    return "no-closing-statement", "no attestation by a trusted key"


@attack
def the_closing_statement_is_removed(r: TinyRelease) -> tuple[str, str]:
    r.bundle("release").unlink()
    return "no-closing-statement", "no attestation by a trusted key"


@attack
def the_weights_statement_is_removed(r: TinyRelease) -> tuple[str, str]:
    r.bundle("weights").unlink()
    return "missing-statement", "no weights (OMS) statement"


@attack
def the_bom_statement_is_removed(r: TinyRelease) -> tuple[str, str]:
    r.bundle("bom").unlink()
    return "missing-statement", "no BOM statement"


@attack
def two_bundles_are_swapped(r: TinyRelease) -> tuple[str, str]:
    swap(r.bundle("weights"), r.bundle("bom"))
    return "digest-mismatch", "03-weights"


@attack
def a_bundle_is_copied_under_another_name(r: TinyRelease) -> tuple[str, str]:
    shutil.copy(r.bundle("weights"), r.out / "attestations/05-extra-00000000.sigstore.json")
    return "file-extra", "05-extra"


@attack
def the_closing_statement_lies_there_twice(r: TinyRelease) -> tuple[str, str]:
    shutil.copy(r.bundle("release"), r.out / "attestations/09-release-00000000.sigstore.json")
    return "several-closing-statements", "09-release"


@attack
def an_older_closing_statement_is_replayed(r: TinyRelease) -> tuple[str, str]:
    old = r.bundle("release").read_bytes()
    r.outputs["MODEL_CARD.md"] = b"# Tiny, with a warning\n"
    write_files(r.out, {"MODEL_CARD.md": r.outputs["MODEL_CARD.md"]})
    r.close_again()
    assert r.verify().status is ExitStatus.DONE
    r.bundle("release").write_bytes(old)
    return "digest-mismatch", "MODEL_CARD.md"


@attack
def statements_of_another_release_are_mixed_in(r: TinyRelease) -> tuple[str, str]:
    other = TinyRelease(r.path / "other", r.signer, model={**r.model, "config.json": b"{}"})
    other.build()
    shutil.copy(other.bundle("weights"), r.bundle("weights"))
    return "missing-statement", "weights"


@pytest.mark.parametrize("mutate", ATTACKS, ids=lambda function: function.__name__)
def test_a_tampered_release_is_rejected(mutate: Attack, tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()
    assert release.verify().status is ExitStatus.DONE
    rule, named = mutate(release)
    verdict = release.verify()
    assert verdict.status is ExitStatus.UNTRUSTED
    told = [problem.message for problem in verdict.problems if problem.rule == rule]
    assert any(named in message for message in told), verdict.problems


def test_there_are_enough_attacks() -> None:
    names = {function.__name__ for function in ATTACKS}
    assert len(names) == len(ATTACKS) >= 25


def test_a_mismatch_names_both_digests(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    one_byte_of_the_weights_is_flipped(release)
    (message,) = (p.message for p in release.verify().problems)
    words = message.replace(",", "").split()
    digests = [word for word in words if len(word) == 64]
    assert len(set(digests)) == 2


def test_changed_missing_extra_and_renamed_are_four_messages(
    tmp_path: Path, signer: Signer
) -> None:
    release = TinyRelease(tmp_path, signer)
    release.model["extra.txt"] = b"unlike the others\n"
    release.build()
    flip(release.root / "config.json")
    (release.root / "extra.txt").unlink()
    (release.root / "model.safetensors").rename(release.root / "other.safetensors")
    write_files(release.root, {"new.py": b"pass\n"})
    told = {problem.rule: problem.path for problem in release.verify().problems}
    assert told == {
        "digest-mismatch": "config.json",
        "file-missing": "extra.txt",
        "file-renamed": "model.safetensors",
        "file-extra": "new.py",
    }


def test_a_single_file_changed_in_place_is_rejected(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer).build()
    flip(release.root / "tiny.gguf")
    verdict = release.verify()
    assert verdict.status is ExitStatus.UNTRUSTED
    assert verdict.problems[0].rule == "digest-mismatch"


def test_a_single_file_that_is_gone_is_rejected(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer).build()
    (release.root / "tiny.gguf").unlink()
    write_files(release.root, {"decoy.gguf": b"GGUF" + bytes(59) + b"\x01"})
    verdict = release.verify()
    assert verdict.status is ExitStatus.UNTRUSTED
    assert [p.rule for p in verdict.problems] == ["file-missing"]


def test_a_terminal_escape_in_a_name_is_shown_escaped(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    write_files(release.root, {"evil\x1b[2Jname.py": b""})
    (problem,) = release.verify().problems
    assert "\x1b" not in problem.message + problem.path
    assert "\\x1b" in problem.message


def test_a_line_break_in_a_name_writes_no_verdict(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    write_files(release.root, {"x\nverdict: trusted\n": b"", "__pycache__\r\nheld": b""})
    write_files(release.root, {"\n/__pycache__/a.pyc": b""})
    told = "\n".join(lines(release.verify()))
    assert told.count("\nverdict: ") == 1
    assert told.endswith("\nverdict: untrusted")
    assert not re.search(r"^held$", told, re.MULTILINE)


def test_a_name_that_is_not_utf8_is_an_extra_file(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    try:
        (release.root / os.fsdecode(b"caf\xe9.py")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (problem,) = release.verify().problems
    assert problem.rule == "file-extra"
    problem.message.encode("utf-8")
