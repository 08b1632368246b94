"""The repository collector on real repositories in every state that git knows."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom import git
from mlbom.collect.repository import RepositoryCollector
from mlbom.collect.repository.inspection import clean_remote
from mlbom.collect.scope import ModelTree, Scope
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Pair, Repository
from mlbom.evidence.observation import Gap, GapKind
from mlbom.evidence.store import dump_graph
from tests.fixtures.gitrepo import (
    COMMIT_TIME,
    commit_all,
    lfs_pointer,
    loose_object,
    make_repository,
    run_git,
    write_files,
)

FILES = {"train.py": b"print(1)\n", "data/a.csv": b"x,y\n1,2\n", "run.sh": b"#!/bin/sh\n"}


def scope_of(path: Path, weights: Iterable[str] = ()) -> Scope:
    """Return a scope of a folder; the collector needs no more of it."""
    model = ModelTree(name=".", root=".", is_directory=True, weights=tuple(weights), files=())
    return Scope(path=path, project_root=path, entries=(), model=model)


def inspect(scope: Scope | Path) -> tuple[Repository, tuple[Gap, ...]]:
    """Return what the collector tells, as the graph resolves it."""
    scope = scope_of(scope) if isinstance(scope, Path) else scope
    graph = Graph.of(RepositoryCollector().collect(scope))
    dump_graph(graph)
    return graph.node(Repository, "git:") or Repository(), graph.gaps


def kinds(gaps: Iterable[Gap]) -> set[tuple[str, GapKind]]:
    """Return fields and kinds of gaps."""
    return {(gap.field, gap.kind) for gap in gaps}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", FILES)


def test_clean(top: Path) -> None:
    repository, gaps = inspect(top)
    assert repository == Repository(
        state="ok",
        commit=run_git(top, "rev-parse", "HEAD"),
        commit_time=COMMIT_TIME,
        branch="main",
        path=".",
        dirty=False,
    )
    assert gaps == ()


def test_commit_time_is_the_committers(top: Path) -> None:
    run_git(top, "commit", "--quiet", "--allow-empty", "-m", "later", "--date", "2001-01-01")
    assert inspect(top)[0].commit_time == COMMIT_TIME


def test_no_person_is_named(top: Path) -> None:
    told = dump_graph(Graph.of(RepositoryCollector().collect(scope_of(top))))
    assert b"Ada" not in told
    assert b"ada@" not in told


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda top: write_files(top, {"train.py": b"print(2)\n"}), ("train.py",)),
        (lambda top: (top / "data" / "a.csv").unlink(), ("data/a.csv",)),
        (lambda top: (top / "run.sh").chmod(0o755), ("run.sh",)),
        (lambda top: run_git(top, "rm", "--cached", "-q", "train.py"), ("train.py",)),
        (lambda top: (top / "data").rename(top / "moved"), ("data/a.csv",)),
        (lambda top: write_files(top, {"big": bytes(3_000_000)}), ()),
    ],
    ids=["changed", "deleted", "mode", "removed from the index", "folder moved", "untracked"],
)
def test_what_counts_as_dirty(top: Path, change: object, changed: tuple[str, ...]) -> None:
    assert callable(change)
    change(top)
    repository, _ = inspect(top)
    assert repository.dirty is bool(changed)
    assert repository.changed == changed


def test_a_change_of_the_same_size_and_time_is_seen(top: Path) -> None:
    """The times in the index are not believed: who made the index may have set them."""
    path = top / "train.py"
    before = path.stat()
    path.write_bytes(b"print(9)\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    run_git(top, "update-index", "--assume-unchanged", "train.py")
    assert inspect(top)[0].changed == ("train.py",)


def test_staged_and_reverted_on_disk_is_dirty(top: Path) -> None:
    write_files(top, {"train.py": b"print(2)\n", "new.py": b""})
    run_git(top, "add", "train.py", "new.py")
    write_files(top, {"train.py": FILES["train.py"]})
    assert inspect(top)[0].changed == ("new.py", "train.py")


def test_a_large_file_is_compared_by_its_content(top: Path) -> None:
    write_files(top, {"big.bin": bytes(3_000_000)})
    commit_all(top)
    assert inspect(top)[0].dirty is False
    write_files(top, {"big.bin": bytes(2_999_999) + b"1"})
    assert inspect(top)[0].changed == ("big.bin",)


def test_files_replaced_by_links_and_links_by_files_are_changed(top: Path) -> None:
    (top / "link").symlink_to("train.py")
    (top / "other").symlink_to("somewhere//odd")
    commit_all(top)
    assert inspect(top)[0].dirty is False
    (top / "link").unlink()
    write_files(top, {"link": b"train.py", "copy.py": FILES["train.py"]})
    (top / "train.py").unlink()
    (top / "train.py").symlink_to("copy.py")
    assert inspect(top)[0].changed == ("link", "train.py")


def test_a_folder_replaced_by_a_link_is_not_followed(top: Path) -> None:
    (top / "data").rename(top.parent / "outside")
    (top / "data").symlink_to(top.parent / "outside")
    assert inspect(top)[0].changed == ("data/a.csv",)


def test_a_pipe_in_place_of_a_file_is_changed_and_not_waited_for(top: Path) -> None:
    (top / "train.py").unlink()
    os.mkfifo(top / "train.py")
    assert inspect(top)[0].changed == ("train.py",)


def test_a_very_deep_path_is_compared(top: Path) -> None:
    """Deeper than Python may call itself."""
    deep = "a/" * 1500 + "f"
    blob = run_git(top, "hash-object", "-w", "--stdin", stdin=b"x")
    run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{deep}")
    assert inspect(top)[0].changed == (deep,)


def test_a_file_without_permission_is_a_gap(top: Path) -> None:
    (top / "train.py").chmod(0)
    if os.access(top / "train.py", os.R_OK):
        pytest.skip("this user may read all")
    repository, gaps = inspect(top)
    assert repository.dirty is None
    assert ("dirty", GapKind.UNREADABLE) in kinds(gaps)


def test_output_records_and_weights_never_count(top: Path) -> None:
    tracked = {
        "mlbom-out/bom.cdx.json": b"1",
        ".mlbom/runs/1/record.sigstore.json": b"1",
        "sub/.mlbom/x": b"1",
        "model.safetensors": b"1",
    }
    write_files(top, tracked)
    commit_all(top)
    write_files(top, dict.fromkeys(tracked, b"2"))
    assert inspect(scope_of(top, ["model.safetensors"]))[0].dirty is False
    assert inspect(top)[0].changed == ("model.safetensors",)
    chosen = replace(scope_of(top, ["model.safetensors"]), output=top / "elsewhere")
    assert inspect(chosen)[0].changed == ("mlbom-out/bom.cdx.json",)


def test_staged_weights_and_outputs_do_not_count_either(top: Path) -> None:
    write_files(top, {"model.safetensors": b"1", "mlbom-out/x": b"1"})
    run_git(top, "add", "--all")
    assert inspect(scope_of(top, ["model.safetensors"]))[0].dirty is False


def test_in_a_monorepo_only_path_counts(top: Path) -> None:
    write_files(top, {"models/a/train.py": b"1", "models/ab/train.py": b"1"})
    commit_all(top)
    write_files(top, {"train.py": b"changed", "models/ab/train.py": b"changed"})
    repository, gaps = inspect(top / "models" / "a")
    assert (repository.path, repository.dirty, repository.state) == ("models/a", False, "ok")
    assert gaps == ()
    assert inspect(top / "models" / "ab")[0].changed == ("train.py",)
    assert inspect(top / "models")[0].changed == ("ab/train.py",)


def test_a_path_that_looks_like_a_pattern_is_taken_literally(top: Path) -> None:
    write_files(top, {"[ab]/f": b"1", "a/f": b"1", ":(top)/f": b"1"})
    commit_all(top)
    write_files(top, {"a/f": b"2"})
    assert inspect(top / "[ab]")[0].dirty is False
    assert inspect(top / ":(top)")[0].dirty is False


def test_a_path_without_tracked_files(top: Path) -> None:
    (top / "scratch").mkdir()
    repository, gaps = inspect(top / "scratch")
    assert repository.state == "untracked"
    assert repository.dirty is None
    assert kinds(gaps) == {("dirty", GapKind.ABSENT)}


def test_no_repository(tmp_path: Path) -> None:
    repository, gaps = inspect(tmp_path.resolve())
    assert repository == Repository()
    assert [(gap.subject, gap.kind) for gap in gaps] == [("git:", GapKind.ABSENT)]


def test_no_commits(tmp_path: Path) -> None:
    top = tmp_path.resolve()
    run_git(top, "init", "--quiet", "-b", "trunk")
    write_files(top, {"a.py": b""})
    repository, gaps = inspect(top)
    assert (repository.state, repository.branch, repository.commit) == ("no-commits", "trunk", None)
    assert kinds(gaps) == {("commit", GapKind.ABSENT), ("dirty", GapKind.ABSENT)}
    run_git(top, "add", "a.py")
    assert inspect(top)[0].changed == ("a.py",)


def test_detached(top: Path) -> None:
    run_git(top, "checkout", "--quiet", "--detach")
    repository, gaps = inspect(top)
    assert (repository.state, repository.branch) == ("detached", None)
    assert gaps == ()


def test_shallow(top: Path, tmp_path: Path) -> None:
    commit_all(top, "second")
    run_git(tmp_path, "clone", "--quiet", "--depth=1", top.as_uri(), "clone")
    repository, _ = inspect(tmp_path.resolve() / "clone")
    assert repository.state == "shallow"
    assert repository.dirty is False
    assert repository.remotes == ()


def test_states_are_combined(top: Path, tmp_path: Path) -> None:
    commit_all(top, "second")
    run_git(tmp_path, "clone", "--quiet", "--depth=1", top.as_uri(), "clone")
    run_git(tmp_path / "clone", "checkout", "--quiet", "--detach")
    assert inspect(tmp_path.resolve() / "clone")[0].state == "detached,shallow"


def test_linked_work_tree(top: Path, tmp_path: Path) -> None:
    run_git(top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    write_files(top, {"train.py": b"only the main work tree is dirty"})
    repository, gaps = inspect(tmp_path.resolve() / "side")
    assert (repository.state, repository.branch) == ("linked-worktree", "side")
    assert repository.dirty is False
    assert gaps == ()


def test_git_file_with_a_missing_target(top: Path, tmp_path: Path) -> None:
    run_git(top, "worktree", "add", "--quiet", str(tmp_path / "side"))
    side = tmp_path.resolve() / "side"
    (side / ".git").write_text(f"gitdir: {tmp_path}/gone\n")
    repository, gaps = inspect(side)
    assert repository == Repository(state="corrupt", path=".")
    assert kinds(gaps) == {("", GapKind.UNREADABLE)}
    assert str(tmp_path) not in gaps[0].reason


def test_submodules_are_told_and_not_entered(top: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.py": b""})
    allow = ("-c", "protocol.file.allow=always")
    run_git(top, *allow, "submodule", "--quiet", "add", str(library), "vendor/lib")
    commit = run_git(library, "rev-parse", "HEAD")
    commit_all(top)
    write_files(top, {"vendor/lib/lib.py": b"changed", "vendor/lib/new.py": b""})
    repository, gaps = inspect(top)
    assert repository.submodules == (Pair("vendor/lib", commit),)
    assert repository.dirty is False
    assert kinds(gaps) == {("submodules", GapKind.ABSENT)}
    inside, _ = inspect(top / "vendor" / "lib")
    assert (inside.commit, inside.changed, inside.path) == (commit, ("lib.py",), ".")


def test_another_commit_staged_for_a_submodule_is_dirty(top: Path) -> None:
    for digit in "12":
        run_git(top, "update-index", "--add", "--cacheinfo", f"160000,{digit * 40},lib")
        (top / "lib").mkdir(exist_ok=True)
        if digit == "1":
            run_git(top, "commit", "--quiet", "-m", "submodule")
    repository, _ = inspect(top)
    assert repository.submodules == (Pair("lib", "2" * 40),)
    assert repository.changed == ("lib",)


def test_inside_a_bare_repository(top: Path, tmp_path: Path) -> None:
    run_git(tmp_path, "clone", "--quiet", "--bare", str(top), "bare")
    repository, gaps = inspect(tmp_path.resolve() / "bare")
    assert repository == Repository(state="bare")
    assert kinds(gaps) == {("commit", GapKind.ABSENT)}


def test_a_git_folder_without_work_tree(top: Path) -> None:
    run_git(top, "config", "core.bare", "true")
    repository, gaps = inspect(top)
    assert (repository.state, repository.branch, repository.dirty) == ("bare", "main", None)
    assert repository.commit
    assert kinds(gaps) == {("dirty", GapKind.ABSENT)}


@pytest.mark.parametrize("content", [b"garbage", None, b""], ids=["garbage", "missing", "empty"])
def test_corrupt_commit(top: Path, content: bytes | None) -> None:
    path = loose_object(top, run_git(top, "rev-parse", "HEAD"))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    repository, gaps = inspect(top)
    assert repository.state == "corrupt"
    assert repository.commit is None
    assert repository.dirty is None
    assert ("commit", GapKind.UNREADABLE) in kinds(gaps)
    assert ("dirty", GapKind.UNREADABLE) in kinds(gaps)


def test_a_commit_stored_under_a_wrong_name_is_not_believed(top: Path) -> None:
    first = run_git(top, "rev-parse", "HEAD")
    second = commit_all(top, "second")
    path = loose_object(top, second)
    path.unlink()
    path.write_bytes(loose_object(top, first).read_bytes())
    repository, gaps = inspect(top)
    assert repository.commit is None
    assert ("commit", GapKind.UNREADABLE) in kinds(gaps)


def test_a_replaced_commit_is_not_believed(top: Path) -> None:
    """Replace references (git replace) would show another commit under the same name."""
    first = run_git(top, "rev-parse", "HEAD")
    raw = run_git(top, "cat-file", "commit", first).replace(f"{COMMIT_TIME}", f"{COMMIT_TIME + 9}")
    other = run_git(top, "hash-object", "-w", "-t", "commit", "--stdin", stdin=raw.encode() + b"\n")
    run_git(top, "replace", first, other)
    assert inspect(top)[0].commit_time == COMMIT_TIME


def test_corrupt_tree(top: Path) -> None:
    run_git(top, "read-tree", "--empty")
    loose_object(top, run_git(top, "rev-parse", "HEAD^{tree}")).unlink()
    repository, gaps = inspect(top)
    assert repository.commit
    assert repository.dirty is None
    assert ("dirty", GapKind.UNREADABLE) in kinds(gaps)


def test_corrupt_index(top: Path) -> None:
    (top / ".git" / "index").write_bytes(b"DIRC damaged" * 10)
    repository, gaps = inspect(top)
    assert repository.commit
    assert repository.state == "corrupt"
    assert ("dirty", GapKind.UNREADABLE) in kinds(gaps)


def test_corrupt_branch_is_not_taken_for_one_without_commits(top: Path) -> None:
    (top / ".git" / "refs" / "heads" / "main").write_bytes(b"")
    repository, gaps = inspect(top)
    assert repository.state == "corrupt"
    assert ("commit", GapKind.UNREADABLE) in kinds(gaps)


def test_empty_git_folder(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    repository, gaps = inspect(tmp_path.resolve())
    assert repository.state == "corrupt"
    assert kinds(gaps) == {("", GapKind.UNREADABLE)}


def test_corrupt_configuration(top: Path) -> None:
    (top / ".git" / "config").write_text("[core\n")
    repository, gaps = inspect(top)
    assert repository.state == "corrupt"
    assert kinds(gaps) == {("", GapKind.UNREADABLE)}


def test_index_that_leads_out_of_the_work_tree(top: Path) -> None:
    write_files(top, {"xx/secret": b"secret"})
    write_files(top.parent, {"secret": b"secret"})
    run_git(top, "add", "xx/secret")
    index = top / ".git" / "index"
    content = index.read_bytes()[:-20].replace(b"xx/secret", b"../secret")
    index.write_bytes(content + hashlib.sha1(content, usedforsecurity=False).digest())
    repository, gaps = inspect(top)
    assert repository.dirty is None
    assert ("dirty", GapKind.UNREADABLE) in kinds(gaps)


def test_no_git_program(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(top.parent))
    _, gaps = inspect(top)
    assert kinds(gaps) == {("", GapKind.ABSENT)}
    assert "git is not installed" in gaps[0].reason


def test_unverified_owner(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {**git._ENVIRONMENT, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    monkeypatch.setattr(git, "_ENVIRONMENT", variables)
    monkeypatch.setenv("HOME", str(tmp_path))
    repository, gaps = inspect(top)
    assert repository == Repository(state="unverified-owner", path=".")
    assert kinds(gaps) == {("commit", GapKind.ABSENT)}
    assert "safe.directory" in gaps[0].reason


def test_git_that_does_not_answer_is_asked_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(top / ".git" / "waiting")
    with (top / ".git" / "config").open("a") as stream:
        stream.write("[include]\npath = waiting\n")
    monkeypatch.setattr(git, "TIMEOUT_S", 0.3)
    _, gaps = inspect(top)
    assert kinds(gaps) == {("", GapKind.UNREADABLE)}


def test_conflict(top: Path) -> None:
    run_git(top, "checkout", "--quiet", "-b", "side")
    write_files(top, {"train.py": b"theirs\n"})
    commit_all(top)
    run_git(top, "checkout", "--quiet", "main")
    write_files(top, {"train.py": b"ours\n"})
    commit_all(top)
    with pytest.raises(subprocess.CalledProcessError):
        run_git(top, "merge", "side")
    repository, _ = inspect(top)
    assert repository.state == "conflicted"
    assert repository.changed == ("train.py",)


def test_sparse_checkout(top: Path) -> None:
    run_git(top, "sparse-checkout", "set", "--no-cone", "/train.py")
    assert not (top / "data").exists()
    repository, _ = inspect(top)
    assert (repository.state, repository.dirty) == ("sparse", False)


def test_tags_at_head(top: Path) -> None:
    run_git(top, "tag", "v0.9")
    commit_all(top, "second")
    run_git(top, "tag", "v1.0")
    run_git(top, "tag", "-a", "-m", "annotated", "release/1")
    assert inspect(top)[0].tags == ("release/1", "v1.0")


@pytest.mark.parametrize(
    ("url", "published"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo.git"),
        ("https://user:secret@github.com/org/repo", "https://github.com/org/repo"),
        ("https://secret@huggingface.co/org/model", "https://huggingface.co/org/model"),
        ("https://host/repo?token=secret#secret", "https://host/repo"),
        ("git@github.com:org/repo.git", "ssh://github.com/org/repo.git"),
        ("git@intranet:org/repo", "ssh://intranet/org/repo"),
        ("intranet:org/repo", "ssh://intranet/org/repo"),
        ("ssh://git@host:2222/~user/repo", "ssh://host:2222/~user/repo"),
        ("user:secret@host:repo", None),
        ("https://user:sec/ret@host/repo", None),
        ("https://user:sec#ret@host/repo", None),
        ("https://user:sec?ret@host/repo", None),
        ("/srv/git/repo.git", None),
        ("../repo", None),
        ("./a:b", None),
        (r"C:\repos\x", None),
        ("C:/repos/x", None),
        ("file:///srv/git/repo", None),
        ("FILE:///srv/git/repo", None),
        ("ext::sh -c evil", None),
        ("helper::https://user:secret@host/repo", None),
        ("https:///no/host", None),
        ("https://ho st/x", None),
        ("", None),
    ],
)
def test_remotes_lose_credentials_and_places(url: str, published: str | None) -> None:
    assert clean_remote(url) == published


def test_remotes(top: Path) -> None:
    run_git(top, "remote", "add", "origin", "https://u:p@github.com/org/repo")
    run_git(top, "remote", "add", "fork", "git@github.com:me/repo.git")
    run_git(top, "remote", "add", "disk", str(top.parent))
    run_git(top, "config", "--add", "remote.valueless.url", "")
    remotes = inspect(top)[0].remotes
    assert remotes == ("https://github.com/org/repo", "ssh://github.com/me/repo.git")


@pytest.mark.parametrize("is_fetched", [True, False])
def test_lfs_pointers(top: Path, *, is_fetched: bool) -> None:
    content = os.urandom(5000)
    pointer = lfs_pointer(content)
    write_files(top, {"data/big.bin": pointer, ".gitattributes": b"*.bin filter=lfs -text\n"})
    commit_all(top)
    if is_fetched:
        write_files(top, {"data/big.bin": content})
    repository, gaps = inspect(top)
    told = f"sha256:{hashlib.sha256(content).hexdigest()} nbytes=5000"
    assert repository.lfs == (Pair("data/big.bin", told),)
    assert repository.dirty is False
    assert gaps == ()


@pytest.mark.parametrize("size", [5000, 5001])
def test_lfs_content_that_changed(top: Path, size: int) -> None:
    write_files(top, {"big.bin": lfs_pointer(bytes(5000))})
    commit_all(top)
    write_files(top, {"big.bin": os.urandom(size)})
    repository, _ = inspect(top)
    assert repository.changed == ("big.bin",)
    assert [pair.name for pair in repository.lfs] == ["big.bin"]


def test_lfs_pointers_of_deleted_and_of_weight_files_are_told(top: Path) -> None:
    write_files(top, {n: lfs_pointer(n.encode()) for n in ("a.bin", "model.safetensors")})
    commit_all(top)
    (top / "a.bin").unlink()
    write_files(top, {"model.safetensors": b"model.safetensors"})
    repository, _ = inspect(scope_of(top, ["model.safetensors"]))
    assert [pair.name for pair in repository.lfs] == ["a.bin", "model.safetensors"]
    assert repository.changed == ("a.bin",)


def test_large_lfs_content(top: Path) -> None:
    content = os.urandom(2_000_000)
    write_files(top, {"big.bin": lfs_pointer(content)})
    commit_all(top)
    write_files(top, {"big.bin": content})
    assert inspect(top)[0].dirty is False


def test_line_endings_only_are_no_change_but_told(top: Path) -> None:
    write_files(top, {"train.py": b"print(1)\r\n"})
    repository, gaps = inspect(top)
    assert repository.dirty is False
    assert kinds(gaps) == {("changed", GapKind.ABSENT)}
    assert "train.py" in gaps[0].reason


@pytest.mark.parametrize(
    "attribute", ["filter=nbstripout", "ident", "working-tree-encoding=UTF-16"]
)
def test_what_a_filter_may_have_changed_is_unknown(top: Path, attribute: str) -> None:
    write_files(top, {".gitattributes": f"*.ipynb {attribute}\n".encode()})
    commit_all(top)
    blob = run_git(top, "hash-object", "-w", "--stdin", stdin=b"clean")
    run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},n.ipynb")
    run_git(top, "commit", "--quiet", "-m", "notebook")
    write_files(top, {"n.ipynb": b"with output"})
    repository, gaps = inspect(top)
    assert repository.dirty is None
    assert kinds(gaps) == {("dirty", GapKind.ABSENT)}
    assert "n.ipynb" in gaps[0].reason
    write_files(top, {"train.py": b"changed"})
    repository, gaps = inspect(top)
    assert (repository.dirty, repository.changed) == (True, ("train.py",))
    assert kinds(gaps) == {("changed", GapKind.ABSENT)}


def test_odd_names(top: Path) -> None:
    names = ["with space", "line\nbreak", "tab\there", "größe", "-option", '"quoted"', "100%"]
    write_files(top, dict.fromkeys(names, b"1"))
    commit_all(top)
    assert inspect(top)[0].dirty is False
    write_files(top, dict.fromkeys(names, b"2"))
    assert inspect(top)[0].changed == tuple(sorted(names))


@pytest.mark.skipif(sys.platform != "linux", reason="the file system refuses such names")
def test_a_name_that_is_not_utf8_is_percent_encoded(top: Path) -> None:
    path = top / os.fsdecode(b"caf\xe9 d")
    path.mkdir()
    (path / "f").write_bytes(b"1")
    commit_all(top)
    (path / "f").write_bytes(b"2")
    assert inspect(top)[0].changed == ("caf%E9%20d/f",)
    repository, _ = inspect(path)
    assert (repository.path, repository.changed) == ("caf%E9%20d", ("f",))


def test_repository_in_an_odd_place(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "~" / "$HOME: a\nb" / "-c", FILES)
    repository, gaps = inspect(top)
    assert (repository.state, repository.dirty) == ("ok", False)
    assert gaps == ()


def test_sha256_repository(tmp_path: Path) -> None:
    try:
        top = make_repository(tmp_path / "project", FILES, object_format="sha256")
    except subprocess.CalledProcessError:
        pytest.skip("this git knows no SHA-256 repositories")
    repository, gaps = inspect(top)
    assert len(repository.commit or "") == 64
    assert (repository.dirty, gaps) == (False, ())
    write_files(top, {"train.py": b"changed"})
    assert inspect(top)[0].changed == ("train.py",)


def test_nothing_is_written(top: Path) -> None:
    """Not even the index is refreshed."""
    os.utime(top / "train.py")
    before = {p: p.stat().st_mtime_ns for p in (top / ".git").rglob("*")}
    inspect(top)
    assert {p: p.stat().st_mtime_ns for p in (top / ".git").rglob("*")} == before


def test_the_place_of_the_repository_does_not_show(tmp_path: Path) -> None:
    told = []
    for place in ("one", "two/three"):
        top = make_repository(tmp_path / place, FILES)
        write_files(top, {"train.py": b"changed"})
        told.append(dump_graph(Graph.of(RepositoryCollector().collect(scope_of(top)))))
    assert told[0] == told[1]
