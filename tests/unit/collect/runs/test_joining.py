"""Records lead to a model by digest alone: forwards, backwards, and not one step further."""

from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.resource import Resource
from mlbom.collect.runs import search
from mlbom.collect.runs.joining import Chain, ModelFiles, join_records
from mlbom.digest.hashing import FileDigest
from mlbom.digest.manifest import manifest_bytes
from mlbom.errors import PathNotFoundError
from mlbom.evidence.digest import Digest
from tests.fixtures.records import make_record, record_key, sha256_of

FILES = {"model.safetensors": b"weights", "config.json": b"{}", "tokenizer.json": b"tok"}


def model(files: dict[str, bytes] | None = None, weights: tuple[str, ...] = ()) -> ModelFiles:
    digests = {
        path: FileDigest(len(data), (Digest("sha256", sha256_of(data)),))
        for path, data in (files or FILES).items()
    }
    return ModelFiles.of(digests, weights)


def joined(tmp_path: Path, *named: Path, of: ModelFiles | None = None) -> Chain:
    return join_records(named, tmp_path / ".mlbom" / "runs", of or model())


def names(chain: Chain) -> list[str]:
    return [record.claim.name for record in chain.records]


def test_a_train_record_is_joined_by_the_digest_of_its_weights_wherever_it_lies(
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "usb"
    path = make_record(elsewhere, "train", {"other/name.safetensors": b"weights"})
    for named in (path, elsewhere, tmp_path):
        chain = joined(tmp_path, named)
        assert names(chain) == ["train"]
        assert chain.files[chain.records[0].id] == ("model.safetensors",)
    assert names(joined(tmp_path)) == []


def test_the_name_of_a_file_joins_nothing(tmp_path: Path) -> None:
    make_record(tmp_path / ".mlbom/runs/a", "train", {"model.safetensors": b"other weights"})
    chain = joined(tmp_path)
    assert names(chain) == []
    assert [c.name for c in chain.unrelated] == ["train"]


def test_a_train_record_that_only_wrote_the_same_configuration_is_unrelated(tmp_path: Path) -> None:
    outputs = {"config.json": b"{}", "model.safetensors": b"another run"}
    make_record(tmp_path / ".mlbom/runs/a", "train", outputs)
    make_record(tmp_path / ".mlbom/runs/b", "other", outputs, name="convert")
    chain = joined(tmp_path)
    assert sorted(c.name for c in chain.unrelated) == ["convert", "train"]


@pytest.mark.parametrize("kind", ["train", "eval"])
def test_who_trains_or_evaluates_is_joined_by_weights_only(tmp_path: Path, kind: str) -> None:
    make_record(tmp_path / ".mlbom/runs/a", kind, {"config.json": b"{}"})
    assert names(joined(tmp_path)) == []


def test_a_step_that_made_the_tokenizer_leads_to_the_model(tmp_path: Path) -> None:
    make_record(tmp_path / ".mlbom/runs/a", "data", {"tok/tokenizer.json": b"tok"})
    assert names(joined(tmp_path)) == ["data"]


def between(started: int, finished: int) -> dict[str, Any]:
    return {"started": started, "finished": finished}


def test_steps_are_joined_backwards_along_what_they_read(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    first, second, third, fourth = (between(n, n + 1) for n in (10, 20, 30, 40))
    clean, model = {"clean.csv": b"clean"}, {"model.safetensors": b"weights"}
    make_record(runs / "a", "data", clean, {"raw.csv": b"raw"}, name="clean", **first)
    make_record(
        runs / "b", "data", {"tokens": b"tokens"}, {"x": b"clean"}, name="tokenise", **second
    )
    make_record(runs / "c", "train", {"ckpt.pt": b"checkpoint"}, {"y": b"tokens"}, **third)
    make_record(runs / "d", "other", model, {"z": b"checkpoint"}, name="convert", **fourth)
    make_record(runs / "e", "data", {"unused.csv": b"unused"}, name="unused")
    chain = joined(tmp_path)
    assert sorted(names(chain)) == ["clean", "convert", "tokenise", "train"]
    by_name = {record.claim.name: record.id for record in chain.records}
    assert chain.after[by_name["convert"]] == (by_name["train"],)
    assert chain.after[by_name["train"]] == (by_name["tokenise"],)
    assert chain.after[by_name["tokenise"]] == (by_name["clean"],)
    assert chain.after[by_name["clean"]] == ()
    assert [c.name for c in chain.unrelated] == ["unused"]


def test_a_data_step_repeated_after_the_training_made_nothing_of_it(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    data = {"tokens": b"tokens"}
    before, again = between(10, 11), between(90, 91)
    make_record(runs / "a", "data", data, name="first", **before)
    make_record(runs / "b", "train", {"m.safetensors": b"weights"}, data, started=20, finished=30)
    make_record(runs / "c", "data", data, name="again", **again)
    chain = joined(tmp_path)
    assert sorted(names(chain)) == ["first", "train"]
    assert [c.name for c in chain.unrelated] == ["again"]


def test_what_a_step_printed_joins_nothing(tmp_path: Path) -> None:
    """`cat FILE` leaves a log with the bytes of FILE, and made nothing."""
    runs = tmp_path / ".mlbom" / "runs"
    make_record(
        runs / "a", "data", {"logs/stdout.log": b"tokens"}, name="cat", started=10, finished=11
    )
    make_record(runs / "b", "train", {"m.safetensors": b"weights"}, {"x": b"tokens"})
    assert names(joined(tmp_path)) == ["train"]


def test_another_training_that_wrote_the_same_cache_is_not_joined(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"cache.bin": b"cache", "old.pt": b"old"}, name="old")
    make_record(runs / "b", "train", {"model.safetensors": b"weights"}, {"cache.bin": b"cache"})
    assert names(joined(tmp_path)) == ["train"]


def test_an_evaluation_is_joined_by_the_weights_that_it_read(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"model.safetensors": b"weights"})
    make_record(
        runs / "b",
        "eval",
        {"model.safetensors": b"weights"},
        started=1_700_000_500,
        finished=1_700_000_501,
    )
    make_record(runs / "c", "eval", {"other.safetensors": b"others"}, name="of another")
    chain = joined(tmp_path)
    assert names(chain) == ["train", "eval"]
    assert chain.after[chain.records[1].id] == (chain.records[0].id,)
    assert [c.name for c in chain.unrelated] == ["of another"]


def test_what_an_evaluation_read_was_not_written_by_it(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "eval", {"base.safetensors": b"base"})
    make_record(runs / "b", "train", {"model.safetensors": b"weights"}, {"base": b"base"})
    assert names(joined(tmp_path)) == ["train"]


def test_a_failed_record_never_joins(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"model.safetensors": b"weights"}, exit_code=1)
    make_record(runs / "b", "train", {"model.safetensors": b"weights"}, exit_code=None, signal=9)
    chain = joined(tmp_path)
    assert names(chain) == []
    assert sorted(c.failure for c in chain.failed) == [
        "its command ended with 1",
        "signal 9 ended its command",
    ]


def test_several_trainings_of_the_same_bytes_are_all_joined(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / ".mlbom/runs" / str(number)
        make_record(folder, "train", {"w.pt": b"weights"}, name=f"train-{number}")
    assert names(joined(tmp_path)) in (["train-1", "train-2"], ["train-2", "train-1"])


def test_many_outputs_are_joined_through_their_manifest(tmp_path: Path) -> None:
    manifest = manifest_bytes([("w/model.safetensors", sha256_of(b"weights")), ("x", "0" * 64)])
    resource = Resource(
        name="outputs.manifest", digests={"sha256": sha256_of(manifest)}, content=manifest
    )
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"outputs.manifest": manifest}, byproducts=(resource,))
    chain = joined(tmp_path)
    assert chain.files[chain.records[0].id] == ("model.safetensors",)


def test_an_empty_file_joins_nothing(tmp_path: Path) -> None:
    files = {**FILES, "added.bin": b""}
    make_record(tmp_path / ".mlbom/runs/a", "data", {"touched": b""})
    chain = joined(tmp_path, of=model(files, weights=("added.bin",)))
    assert names(chain) == []


def test_weights_of_an_unknown_name_join_when_the_user_named_them(tmp_path: Path) -> None:
    make_record(tmp_path / ".mlbom/runs/a", "train", {"net.dat": b"mine"})
    files = {"net.dat": b"mine"}
    assert names(joined(tmp_path, of=model(files, weights=("net.dat",)))) == ["train"]


def test_a_signed_record_hides_its_bare_twin_and_two_signers_count_both(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    for folder, key in (("a", None), ("b", "one"), ("c", "two"), ("d", "two")):
        signer = record_key(tmp_path / "keys", key) if key else None
        make_record(runs / folder, "train", {"w.pt": b"weights"}, key=signer)
    chain = joined(tmp_path)
    assert len(chain.records) == 2
    assert len({record.signer for record in chain.records}) == 2
    assert len({record.id for record in chain.records}) == 1


def test_malformed_records_are_named_and_the_others_joined(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"w.pt": b"weights"})
    for folder, name in (("b", "record.sigstore.json"), ("c", "02-train-0.sigstore.json")):
        (runs / folder).mkdir()
        (runs / folder / name).write_bytes(b"{")
    chain = joined(tmp_path)
    assert names(chain) == ["train"]
    places = [place for place, _ in chain.unreadable]
    assert places == [
        ".mlbom/runs/b/record.sigstore.json",
        ".mlbom/runs/c/02-train-0.sigstore.json",
    ]


def test_a_named_place_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="no such record"):
        joined(tmp_path, tmp_path / "nowhere")


def test_a_place_outside_of_the_project_is_called_by_its_last_parts(tmp_path: Path) -> None:
    project = tmp_path / "secret-user" / "project"
    path = make_record(tmp_path / "secret-user" / "runs" / "r1", "train", {"w.pt": b"weights"})
    chain = join_records((path,), project / ".mlbom" / "runs", model())
    assert [r.place for r in chain.records] == ["r1/record.intoto.json"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    make_record(tmp_path / "outside", "train", {"w.pt": b"weights"})
    runs = tmp_path / ".mlbom" / "runs"
    runs.mkdir(parents=True)
    (runs / "link").symlink_to(tmp_path / "outside")
    assert names(joined(tmp_path)) == []


def test_a_folder_of_too_many_entries_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_ENTRIES", 3)
    for number in range(4):
        make_record(tmp_path / ".mlbom/runs" / str(number), "train", {"w.pt": b"weights"})
    chain = joined(tmp_path)
    assert [place for place, _ in chain.unreadable] == [".mlbom/runs"]
    assert "more than 3 entries" in chain.unreadable[0][1].message
