"""A repository whose every setting names a program: none of them starts, and no token gets out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom import git
from mlbom.collect.repository import RepositoryCollector
from mlbom.collect.scope import ModelTree, Scope
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Repository
from mlbom.evidence.store import dump_graph
from tests.fixtures.gitrepo import commit_all, loose_object, make_repository, run_git, write_files

HOOKS = ("post-index-change", "reference-transaction", "post-checkout", "pre-commit", "pre-auto-gc")
ATTRIBUTES = b"""
*.py filter=evil diff=evil
*.txt filter=process
*.md diff=command
*.c ident
"""
FILES = {
    "train.py": b"print(1)\n",
    "notes.txt": b"notes\n",
    "README.md": b"# readme\n",
    "lost.py": b"lost\n",
    "main.c": b"int x;\n",
}


class HostileRepository:
    """A repository full of traps, and the folder that a trap leaves its name in when it runs."""

    def __init__(self, folder: Path) -> None:
        self.sprung_folder = folder / "sprung"
        self.sprung_folder.mkdir()
        self._trap = folder / "trap"
        self._trap.write_text(f'#!/bin/sh\n: >"{self.sprung_folder}/$1"\n')
        self._trap.chmod(0o755)
        self.top = make_repository(folder / "project", FILES)
        write_files(self.top, {".gitattributes": ATTRIBUTES, "gone/f.py": b"1"})
        commit_all(self.top)
        self._submodule()
        for name in ("train.py", "notes.txt", "README.md", "main.c"):
            write_files(self.top, {name: FILES[name] + b"changed\n"})
        shutil.rmtree(self.top / "gone")
        # Same size, another time: git has to run the clean filter to know whether it changed.
        os.utime(self.top / "lost.py", (1, 1))
        # Blobs that git would fetch from the remote that the configuration promises.
        for name in ("lost.py", "gone/f.py", "train.py"):
            loose_object(self.top, run_git(self.top, "rev-parse", f"HEAD:{name}")).unlink()
        self._fake_programs()
        self._hooks()
        self._settings()

    def trap(self, name: str) -> str:
        """Return the command that springs a trap."""
        return f"{self._trap} {name}"

    def sprung(self) -> set[str]:
        """Return the traps sprung since the last call."""
        found = {path.name for path in self.sprung_folder.iterdir()}
        for name in found:
            (self.sprung_folder / name).unlink()
        return found

    def _settings(self) -> None:
        programs = {
            "filter.evil.clean": "clean",
            "filter.evil.smudge": "smudge",
            "filter.process.process": "process",
            "diff.external": "external",
            "diff.evil.textconv": "textconv",
            "diff.command.command": "command",
            "core.pager": "pager",
            "pager.ls-files": "pager",
            "core.editor": "editor",
            "core.askPass": "askpass",
            "core.sshCommand": "ssh",
            "core.gitProxy": "proxy",
            "core.alternateRefsCommand": "alternates",
            "credential.helper": "!credential",
            "gpg.program": "gpg",
            "alias.evil": "!alias",
            "alias.ls-files": "!alias",
            "alias.cat-file": "!alias",
            "remote.origin.uploadpack": "uploadpack",
            "submodule.sub.update": "!submodule",
            "uploadpack.packObjectsHook": "packobjects",
        }
        for key, name in programs.items():
            bang = "!" if name.startswith("!") else ""
            run_git(self.top, "config", key, bang + self.trap(name.lstrip("!")))
        plain = {
            "core.repositoryFormatVersion": "1",
            "extensions.partialClone": "origin",
            "remote.origin.promisor": "true",
            "remote.origin.url": f"ext::{self.trap('ext')}",
            "protocol.ext.allow": "always",
            "protocol.file.allow": "always",
            "protocol.allow": "always",
            "remote.ssh.url": "ssh://example.invalid/repo",
            "filter.evil.required": "true",
            "log.showSignature": "true",
            "include.path": "included",
            "submodule.sub.url": "./sub",
            "submodule.recurse": "true",
        }
        for key, value in plain.items():
            run_git(self.top, "config", key, value)
        included = f"[core]\n\tfsmonitor = {self.trap('fsmonitor')}\n"
        (self.top / ".git" / "included").write_text(included)

    def _hooks(self) -> None:
        for name in HOOKS:
            hook = self.top / ".git" / "hooks" / name
            hook.write_text(f"#!/bin/sh\n{self.trap(name)}\n")
            hook.chmod(0o755)

    def _submodule(self) -> None:
        told = b'[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n'
        write_files(self.top, {".gitmodules": told})
        inner = make_repository(self.top / "sub", {"f.py": b"1"})
        run_git(inner, "config", "core.fsmonitor", self.trap("fsmonitor-in-submodule"))
        write_files(inner, {"f.py": b"2"})
        entry = f"160000,{run_git(inner, 'rev-parse', 'HEAD')},sub"
        run_git(self.top, "update-index", "--add", "--cacheinfo", entry)

    def _fake_programs(self) -> None:
        for folder in (self.top, self.top / "bin"):
            folder.mkdir(exist_ok=True)
            for name in ("git", "env", "false", "cat", "git-remote-ext", "pgrep", "ps"):
                program = folder / name
                program.write_text(f"#!/bin/sh\n{self.trap('path')}\n")
                program.chmod(0o755)


@pytest.fixture
def hostile(tmp_path: Path) -> HostileRepository:
    repository = HostileRepository(tmp_path)
    repository.sprung()
    return repository


def collect(path: Path) -> tuple[Repository, bytes]:
    """Return what the collector tells, and the bytes of the evidence."""
    model = ModelTree(name=".", root=".", is_directory=True, weights=(), files=())
    scope = Scope(path=path, project_root=path, entries=(), model=model)
    graph = Graph.of(RepositoryCollector().collect(scope))
    return graph.node(Repository, "git:") or Repository(), dump_graph(graph)


def try_git(folder: Path, *arguments: str) -> None:
    """Run plain git, whatever comes of it."""
    try:
        run_git(folder, *arguments)
    except subprocess.CalledProcessError:
        return


@pytest.mark.parametrize(
    ("arguments", "traps"),
    [
        (("status",), {"fsmonitor", "clean", "fsmonitor-in-submodule"}),
        (("diff", "--", "main.c"), {"fsmonitor", "external"}),
        (("diff", "--", "README.md"), {"command"}),
        (("ls-files", "--modified"), {"fsmonitor", "clean"}),
        (("checkout", "--force", "--", "notes.txt"), {"process"}),
        (("cat-file", "-p", "HEAD:lost.py"), {"ext"}),
        (("fetch", "ssh"), {"ssh"}),
        (("evil",), {"alias"}),
        (("commit", "-m", "message"), {"pre-commit", "post-index-change"}),
        (("submodule", "update", "--force"), {"submodule"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_traps_work(
    hostile: HostileRepository, arguments: tuple[str, ...], traps: set[str]
) -> None:
    """Plain git springs them: without this, the silence below would prove nothing."""
    try_git(hostile.top, *arguments)
    assert traps <= hostile.sprung()


def test_collecting_springs_none(hostile: HostileRepository) -> None:
    repository, _ = collect(hostile.top)
    assert hostile.sprung() == set()
    assert repository.dirty is True
    assert repository.commit
    assert set(repository.changed) == {"README.md", "gone/f.py", "sub"}


def test_collecting_from_within_the_repository_springs_none(
    hostile: HostileRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the repository as working directory and on the PATH, in three spellings."""
    monkeypatch.chdir(hostile.top)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f".:{hostile.top}/bin:{hostile.top}:bin::{path}")
    collect(hostile.top)
    assert hostile.sprung() == set()


def test_importing_gitpython_within_the_repository_springs_none(hostile: HostileRepository) -> None:
    """In a new process: GitPython runs git once when it is imported."""
    script = (
        "import sys, pathlib\n"
        "from mlbom.git import open_repository\n"
        "assert 'git' not in sys.modules\n"
        "open_repository(pathlib.Path(sys.argv[1]))\n"
        "assert 'git' in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    path = f".:{hostile.top}/bin:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    subprocess.run(
        [sys.executable, "-c", script, str(hostile.top)],
        check=True,
        cwd=hostile.top,
        env=environment,
    )
    assert hostile.sprung() == set()


def test_the_callers_variables_spring_none(
    hostile: HostileRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CI job exports what it likes; none of it reaches git."""
    for name in ("GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_PAGER", "GIT_EDITOR"):
        monkeypatch.setenv(name, hostile.trap(name))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", hostile.trap("variable"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor={hostile.trap('variable')}'")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext:ssh:file")
    collect(hostile.top)
    assert hostile.sprung() == set()


def test_a_program_named_in_gitmodules_is_not_started(hostile: HostileRepository) -> None:
    """Newer git refuses such a file; it must not keep the collector from its work either."""
    with (hostile.top / ".gitmodules").open("a") as stream:
        stream.write(f"\tupdate = !{hostile.trap('update')}\n")
    repository, _ = collect(hostile.top)
    assert hostile.sprung() == set()
    assert repository.submodules
    assert repository.dirty is True


@pytest.mark.parametrize(
    ("missing", "is_safe"),
    [
        ({"GIT_NO_LAZY_FETCH"}, True),
        ({"GIT_NO_LAZY_FETCH", "GIT_ALLOW_PROTOCOL"}, False),
    ],
)
def test_git_that_knows_no_lazy_fetch_variable_fetches_nothing_either(
    hostile: HostileRepository,
    monkeypatch: pytest.MonkeyPatch,
    missing: set[str],
    *,
    is_safe: bool,
) -> None:
    """protocol.allow=never would not hold it: the repository allows its own protocol."""
    variables = {k: v for k, v in git._ENVIRONMENT.items() if k not in missing}
    monkeypatch.setattr(git, "_ENVIRONMENT", variables)
    collect(hostile.top)
    assert hostile.sprung() == (set() if is_safe else {"ext"})


def damage_commit(hostile: HostileRepository) -> None:
    loose_object(hostile.top, run_git(hostile.top, "rev-parse", "HEAD")).unlink()


def damage_tree(hostile: HostileRepository) -> None:
    loose_object(hostile.top, run_git(hostile.top, "rev-parse", "HEAD^{tree}")).unlink()


def damage_index(hostile: HostileRepository) -> None:
    (hostile.top / ".git" / "index").write_bytes(b"DIRC damaged" * 10)


def damage_branch(hostile: HostileRepository) -> None:
    (hostile.top / ".git" / "refs" / "heads" / "main").write_text("garbage")


@pytest.mark.parametrize("damage", [damage_commit, damage_tree, damage_index, damage_branch])
def test_damage_on_top_springs_none(
    hostile: HostileRepository, damage: Callable[[HostileRepository], None]
) -> None:
    """A missing object of a partial clone makes git fetch it, by whatever program it is told."""
    damage(hostile)
    hostile.sprung()
    collect(hostile.top)
    assert hostile.sprung() == set()


def test_inside_the_submodule_springs_none(hostile: HostileRepository) -> None:
    repository, _ = collect(hostile.top / "sub")
    assert hostile.sprung() == set()
    assert repository.changed == ("f.py",)


def test_no_token_of_a_remote_is_told(tmp_path: Path) -> None:
    """In every place of a URL that git accepts, and in branch, tag and file names of errors."""
    token = "ghp_" + "aB3dE6gH9kL2nP5rS8uV" * 2
    top = make_repository(tmp_path / "project", FILES)
    for number, url in enumerate(
        (
            f"https://{token}@github.com/org/repo",
            f"https://user:{token}@github.com/org/repo",
            f"https://x-access-token:{token}@github.com/org/repo.git",
            f"https://user:{token}/x@github.com/org/repo",
            f"https://github.com/org/repo?token={token}",
            f"https://github.com/org/repo#{token}",
            f"https://github.com/{token}/repo",
            f"user:{token}@host:org/repo",
            f"{token}@host:org/repo",
            f"ssh://git:{token}@host/org/repo",
            f"ext::sh -c {token}",
            f"helper::https://{token}@host/repo",
            f"/home/me/{token}/repo",
            f"file:///{token}/repo",
        )
    ):
        run_git(top, "config", f"remote.r{number}.url", url)
        run_git(top, "config", f"remote.r{number}.pushurl", url)
        run_git(top, "config", f"url.{url}.insteadOf", f"short{number}")
    run_git(top, "tag", token)
    run_git(top, "checkout", "--quiet", "-b", f"fix/{token}")
    repository, told = collect(top)
    assert "https://github.com/org/repo" in repository.remotes
    assert token.encode() not in told
    assert token[4:].encode() not in told
