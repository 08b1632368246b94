"""A repository whose every setting names a program is cloned: none starts, nothing leaks in."""

import os
import stat
import subprocess
from contextlib import suppress
from hashlib import sha1, sha256
from pathlib import Path

import pytest

from mlbom.errors import EnvironmentFailureError, RepositoryError
from mlbom.git import open_repository
from mlbom.git.clone import Clone, clone_commit
from mlbom.reproduce.sandbox.files import remove_tree
from tests.fixtures.gitrepo import (
    COMMIT_TIME,
    commit_all,
    lfs_pointer,
    loose_object,
    make_repository,
    run_git,
    write_files,
)

HOOKS = (
    *("post-checkout", "post-index-change", "reference-transaction", "pre-receive", "update"),
    *("post-update", "pre-auto-gc", "post-merge", "proc-receive", "push-to-checkout"),
)
ATTRIBUTES = b"""
*.py filter=evil ident
*.txt filter=process
*.md diff=command merge=driver
"""
FILES = {
    "train.py": b"print(1)  # $Id$\n",
    "notes.txt": b"notes\n",
    "README.md": b"# readme\n",
    ".gitattributes": ATTRIBUTES,
    "deep/er/file.bin": bytes(range(256)),
}


class HostileRepository:
    """A repository full of traps; a trap leaves its name in a folder when it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sprung_folder = folder / "sprung"
        self.sprung_folder.mkdir()
        self._trap = folder / "trap"
        filters = 'case "$1" in smudge | clean) cat ;; esac'
        self._trap.write_text(f'#!/bin/sh\n: >"{self.sprung_folder}/$1"\n{filters}\n')
        self._trap.chmod(0o755)
        self.top = make_repository(folder / "project", FILES)
        (self.top / "run.sh").write_text("#!/bin/sh\n")
        (self.top / "run.sh").chmod(0o755)
        (self.top / "out").symlink_to(folder / "outside")
        self.head = commit_all(self.top)
        self.set_traps()

    def trap(self, name: str) -> str:
        """Return the command that springs a trap."""
        return f"{self._trap} {name}"

    def sprung(self) -> set[str]:
        """Return the traps sprung since the last call."""
        found = {path.name for path in self.sprung_folder.iterdir()}
        for name in found:
            (self.sprung_folder / name).unlink()
        return found

    def clone(self, name: str = "clone", commit: str = "") -> Clone:
        """Clone it."""
        repository = open_repository(self.top)
        return clone_commit(repository, commit or self.head, self.folder.resolve() / name)

    def set_traps(self) -> None:
        """Let every setting and hook name a program."""
        programs = {
            "filter.evil.clean": "clean",
            "filter.evil.smudge": "smudge",
            "filter.process.process": "process",
            "filter.lfs.smudge": "lfs-smudge",
            "filter.lfs.process": "lfs-process",
            "merge.driver.driver": "merge",
            "core.fsmonitor": "fsmonitor",
            "core.sshCommand": "ssh",
            "core.alternateRefsCommand": "alternates",
            "core.editor": "editor",
            "core.pager": "pager",
            "credential.helper": "!credential",
            "gpg.program": "gpg",
            "alias.clone": "!alias",
            "remote.origin.uploadpack": "uploadpack",
            "uploadpack.packObjectsHook": "packobjects",
            "submodule.sub.update": "!submodule",
        }
        for key, name in programs.items():
            bang = "!" if name.startswith("!") else ""
            run_git(self.top, "config", key, bang + self.trap(name.lstrip("!")))
        plain = {
            "filter.evil.required": "true",
            "filter.lfs.required": "true",
            "protocol.allow": "always",
            "submodule.recurse": "true",
            "submodule.active": "true",
            "include.path": "included",
            "core.attributesFile": str(self.folder / "attributes"),
        }
        for key, value in plain.items():
            run_git(self.top, "config", key, value)
        (self.folder / "attributes").write_bytes(b"* filter=evil\n")
        (self.top / ".git" / "info" / "attributes").write_bytes(b"*.bin filter=evil\n")
        (self.top / ".git" / "included").write_text(f"[diff]\n\texternal = {self.trap('diff')}\n")
        for folder in (self.top / ".git" / "hooks", self.folder / "hooks"):
            folder.mkdir(exist_ok=True)
            for name in HOOKS:
                hook = folder / name
                hook.write_text(f"#!/bin/sh\n{self.trap(name)}\n")
                hook.chmod(0o755)
        run_git(self.top, "config", "core.hooksPath", str(self.folder / "hooks"))


@pytest.fixture
def hostile(tmp_path: Path) -> HostileRepository:
    repository = HostileRepository(tmp_path)
    repository.sprung()
    return repository


def make_partial(hostile: HostileRepository, *names: str) -> None:
    """Let git believe that missing objects are to be fetched, by a program of the repository."""
    settings = {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(hostile.top),
    }
    for key, value in settings.items():
        run_git(hostile.top, "config", key, value)
    for name in names:
        loose_object(hostile.top, run_git(hostile.top, "rev-parse", f"HEAD:{name}")).unlink()
    hostile.sprung()


def test_the_traps_work(hostile: HostileRepository) -> None:
    """Plain git springs them: without this, the silence below would prove nothing."""
    for arguments in (
        ("worktree", "add", "--force", str(hostile.folder / "tree"), "HEAD"),
        ("checkout", "--force", "HEAD", "--", "notes.txt"),
        ("checkout", "-b", "other"),
        ("status",),
    ):
        with suppress(subprocess.CalledProcessError):
            run_git(hostile.top, *arguments)
    assert {"smudge", "process", "post-checkout", "fsmonitor"} <= hostile.sprung()


def test_a_plain_clone_of_a_partial_clone_starts_a_program(hostile: HostileRepository) -> None:
    """This is why the clone never lets git run inside of the repository.

    Git of 2024 and later has to be told to behave as it did before (GIT_NO_LAZY_FETCH).
    """
    make_partial(hostile, "notes.txt")
    arguments = ("clone", "--no-local", "--no-hardlinks", str(hostile.top), "taken")
    environment = {"GIT_ALLOW_PROTOCOL": "file", "GIT_NO_LAZY_FETCH": "0"}
    environment["PATH"] = os.environ["PATH"]
    settings = ("-c", f"core.hooksPath={os.devnull}", "-c", "safe.directory=*")
    command = ["git", *settings, *arguments]
    subprocess.run(
        command, cwd=hostile.folder, env=environment, capture_output=True, check=False, timeout=20
    )
    assert "uploadpack" in hostile.sprung()


def test_cloning_springs_none(hostile: HostileRepository) -> None:
    clone = hostile.clone()
    assert hostile.sprung() == set()
    assert (clone.top / "train.py").read_bytes().startswith(b"print(1)  # $Id: ")
    assert (clone.top / "notes.txt").read_bytes() == b"notes\n"
    assert (clone.top / "deep" / "er" / "file.bin").read_bytes() == FILES["deep/er/file.bin"]
    assert "2 files pass a filter that was not started: notes.txt, train.py" in clone.unlike


def test_cloning_from_within_the_repository_springs_none(
    hostile: HostileRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the repository as working directory, on the PATH, and the caller's own variables."""
    for name in ("git", "env", "git-index-pack", "git-pack-objects", "sh"):
        program = hostile.top / name
        program.write_text(f"#!/bin/sh\n{hostile.trap('path')}\n")
        program.chmod(0o755)
    monkeypatch.chdir(hostile.top)
    monkeypatch.setenv("PATH", f".:{hostile.top}::{os.environ['PATH']}")
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hostile.folder))
    monkeypatch.setenv("GIT_EXEC_PATH", str(hostile.top))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", hostile.trap("variable"))
    hostile.clone()
    assert hostile.sprung() == set()


def test_a_partial_clone_fetches_nothing(hostile: HostileRepository) -> None:
    make_partial(hostile, "notes.txt")
    with pytest.raises(RepositoryError):
        hostile.clone()
    assert hostile.sprung() == set()


@pytest.mark.parametrize("kind", ["worktree", "alternates"])
def test_what_leads_elsewhere_springs_none(hostile: HostileRepository, kind: str) -> None:
    """`core.worktree`, and objects that lie in another repository with settings of its own."""
    if kind == "worktree":
        run_git(hostile.top, "config", "core.worktree", str(hostile.folder))
    else:
        taken = hostile.folder / "objects"
        (hostile.top / ".git" / "objects").rename(taken)
        info = hostile.top / ".git" / "objects" / "info"
        info.mkdir(parents=True)
        (info / "alternates").write_text(f"{taken}\n")
    clone = hostile.clone()
    assert hostile.sprung() == set()
    assert (clone.top / "notes.txt").read_bytes() == b"notes\n"
    assert not (clone.top / ".git" / "objects" / "info" / "alternates").exists()


def test_the_clone_leads_nowhere(hostile: HostileRepository) -> None:
    clone = hostile.clone()
    config = (clone.top / ".git" / "config").read_text()
    assert str(hostile.top) not in config
    assert "remote" not in config
    assert not list((clone.top / ".git" / "hooks").glob("*"))
    assert run_git(clone.top, "remote") == ""
    assert run_git(clone.top, "rev-parse", "HEAD") == hostile.head
    assert run_git(clone.top, "status", "--porcelain") == ""
    texts = [p.read_bytes() for p in (clone.top / ".git").rglob("*") if p.is_file()]
    assert not [text for text in texts if os.fsencode(hostile.top) in text]


def test_replaced_objects_do_not_count(hostile: HostileRepository) -> None:
    """`refs/replace` would let a commit have other files than its id says."""
    true = run_git(hostile.top, "rev-parse", "HEAD:notes.txt")
    false = run_git(hostile.top, "hash-object", "-w", "--stdin", stdin=b"other\n")
    run_git(hostile.top, "replace", true, false)
    assert (hostile.clone().top / "notes.txt").read_bytes() == b"notes\n"


def test_an_object_with_another_content_than_its_name_is_refused(
    hostile: HostileRepository,
) -> None:
    oid = run_git(hostile.top, "rev-parse", "HEAD:notes.txt")
    other = run_git(hostile.top, "hash-object", "-w", "--stdin", stdin=b"other\n")
    place = loose_object(hostile.top, oid)
    place.chmod(0o644)
    place.write_bytes(loose_object(hostile.top, other).read_bytes())
    with pytest.raises(RepositoryError):
        hostile.clone()


def test_a_packed_object_with_another_content_than_its_name_is_refused(
    hostile: HostileRepository,
) -> None:
    """The index of a pack names objects; only hashing them anew shows that a name is wrong."""
    oid = run_git(hostile.top, "rev-parse", "HEAD:notes.txt")
    run_git(hostile.top, "repack", "-a", "-d", "--quiet")
    run_git(hostile.top, "prune-packed")
    (index,) = (hostile.top / ".git" / "objects" / "pack").glob("*.idx")
    data = bytearray(index.read_bytes())
    wrong = bytes.fromhex(oid)[:-1] + bytes([bytes.fromhex(oid)[-1] ^ 1])
    assert data.count(bytes.fromhex(oid)) == 1
    data = data.replace(bytes.fromhex(oid), wrong)
    data[-20:] = sha1(data[:-20], usedforsecurity=False).digest()
    index.chmod(0o644)
    index.write_bytes(data)
    with pytest.raises(RepositoryError):
        hostile.clone()


def test_a_commit_is_never_an_option(hostile: HostileRepository) -> None:
    for commit in ("--upload-pack=x", "HEAD", "main", hostile.head[:12], f"^{hostile.head}", ""):
        with pytest.raises(RepositoryError, match="full object id"):
            clone_commit(open_repository(hostile.top), commit, hostile.folder / "clone")
    with pytest.raises(RepositoryError, match="not in this repository"):
        hostile.clone(commit="0" * 39 + "1")
    blob = run_git(hostile.top, "rev-parse", "HEAD:notes.txt")
    with pytest.raises(RepositoryError, match="not in this repository"):
        hostile.clone("another", commit=blob)


def test_a_place_that_is_taken_is_not_written(hostile: HostileRepository) -> None:
    (hostile.folder / "clone").mkdir()
    with pytest.raises(EnvironmentFailureError, match="cannot write the clone"):
        hostile.clone()


def test_links_stay_links_and_modes_and_times_are_those_of_the_commit(
    hostile: HostileRepository,
) -> None:
    clone = hostile.clone()
    assert clone.committed == COMMIT_TIME
    assert os.readlink(clone.top / "out") == str(hostile.folder / "outside")
    assert not (hostile.folder / "outside").exists()
    assert stat.S_IMODE((clone.top / "run.sh").stat().st_mode) & 0o100
    assert not stat.S_IMODE((clone.top / "notes.txt").stat().st_mode) & 0o111
    for path in clone.top.rglob("*"):
        if ".git" not in path.relative_to(clone.top).parts:
            assert path.lstat().st_mtime == COMMIT_TIME, path
    assert clone.top.stat().st_mtime == COMMIT_TIME


def test_submodules_are_told_and_not_cloned(hostile: HostileRepository) -> None:
    told = b'[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n\tupdate = !false\n'
    hostile.top.joinpath(".git", "config").write_text("[core]\n\tbare = false\n")
    write_files(hostile.top, {".gitmodules": told})
    inner = make_repository(hostile.top / "sub", {"f.py": b"1"})
    entry = f"160000,{run_git(inner, 'rev-parse', 'HEAD')},sub"
    run_git(hostile.top, "update-index", "--add", ".gitmodules", "--cacheinfo", entry)
    run_git(hostile.top, "commit", "--quiet", "--no-verify", "--message", "sub")
    hostile.set_traps()
    hostile.sprung()
    clone = hostile.clone(commit=run_git(hostile.top, "rev-parse", "HEAD"))
    assert hostile.sprung() == set()
    assert "1 submodules are not cloned: sub" in clone.unlike
    assert not list((clone.top / "sub").iterdir())


class TestLfs:
    """Content of Git LFS is put in its place by us: with size and SHA-256 checked."""

    CONTENT = b"weights" * 1000

    @pytest.fixture
    def stored(self, tmp_path: Path) -> Path:
        files = {
            ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "model.bin": lfs_pointer(self.CONTENT),
            "pointer.txt": lfs_pointer(self.CONTENT),
        }
        top = make_repository(tmp_path / "project", files)
        self.store(top).write_bytes(self.CONTENT)
        return top

    def store(self, top: Path) -> Path:
        oid = sha256(self.CONTENT).hexdigest()
        folder = top / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
        folder.mkdir(parents=True, exist_ok=True)
        return folder / oid

    def clone(self, top: Path) -> Clone:
        head = run_git(top, "rev-parse", "HEAD")
        return clone_commit(open_repository(top), head, top.parent / "clone")

    def test_content_takes_the_place_of_its_pointer(self, stored: Path) -> None:
        clone = self.clone(stored)
        assert (clone.top / "model.bin").read_bytes() == self.CONTENT
        assert (clone.top / "model.bin").stat().st_mtime == COMMIT_TIME
        assert (clone.top / "pointer.txt").read_bytes() == lfs_pointer(self.CONTENT)
        assert clone.unlike == ()

    @pytest.mark.parametrize("fault", ["missing", "size", "bytes", "link", "pipe"])
    def test_what_is_not_as_the_pointer_says_stays_a_pointer(
        self, stored: Path, fault: str
    ) -> None:
        place = self.store(stored)
        place.unlink()
        if fault == "size":
            place.write_bytes(self.CONTENT + b"x")
        elif fault == "bytes":
            place.write_bytes(self.CONTENT[:-1] + b"x")
        elif fault == "link":
            place.symlink_to("/etc/passwd")
        elif fault == "pipe":
            os.mkfifo(place)
        clone = self.clone(stored)
        assert (clone.top / "model.bin").read_bytes() == lfs_pointer(self.CONTENT)
        assert clone.unlike == (
            "1 files of Git LFS are pointers, because their content is not here: model.bin",
        )
        assert not [p for p in clone.top.rglob("*") if p.name.endswith(".mlbom-new")]

    def test_a_linked_work_tree_has_the_content_of_the_main_one(self, stored: Path) -> None:
        linked = stored.parent / "linked"
        run_git(stored, "worktree", "add", "--quiet", str(linked), "-b", "other")
        assert (self.clone(linked).top / "model.bin").read_bytes() == self.CONTENT


def test_a_shallow_repository_and_one_with_sha256_can_be_cloned(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "long", {"a.txt": b"1"})
    write_files(top, {"a.txt": b"2"})
    head = commit_all(top)
    run_git(tmp_path, "clone", "--quiet", "--depth=1", top.as_uri(), "shallow")
    shallow = open_repository(tmp_path.resolve() / "shallow")
    clone = clone_commit(shallow, head, tmp_path.resolve() / "one")
    assert (clone.top / "a.txt").read_bytes() == b"2"
    with pytest.raises(RepositoryError, match="not in this repository"):
        clone_commit(shallow, run_git(top, "rev-parse", "HEAD~1"), tmp_path.resolve() / "two")
    other = make_repository(tmp_path / "sha256", {"a.txt": b"3"}, object_format="sha256")
    head = run_git(other, "rev-parse", "HEAD")
    clone = clone_commit(open_repository(other), head, tmp_path.resolve() / "three")
    assert (clone.top / "a.txt").read_bytes() == b"3"


def test_names_of_every_kind_survive(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1500) + "/leaf"
    top = make_repository(
        tmp_path / 'a "b"\\c:d', {"-option": b"1", "new\nline": b"2", "é ü": b"3"}
    )
    blob = run_git(top, "hash-object", "-w", "--stdin", stdin=b"4")
    run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{deep}")
    run_git(top, "commit", "--quiet", "--message", "deep")
    head = run_git(top, "rev-parse", "HEAD")
    clone = clone_commit(open_repository(top), head, tmp_path.resolve() / "clone")
    assert (clone.top / "-option").read_bytes() == b"1"
    assert (clone.top / "new\nline").read_bytes() == b"2"
    assert (clone.top / deep).read_bytes() == b"4"
    remove_tree(clone.top)  # too deep for others
    assert not clone.top.exists()
