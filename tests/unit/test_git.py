"""The hardened git call: its environment, its limits, and what it says when git fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlbom import git
from mlbom.config import find_repository
from mlbom.errors import GitMissingError, LimitError, RepositoryError, UnverifiedOwnerError
from tests.fixtures.gitrepo import make_repository, run_git

FILES = {"train.py": b"print(1)\n"}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", FILES)


def test_the_nearest_folder_with_a_git_folder_is_found(top: Path) -> None:
    below = top / "a" / "b"
    below.mkdir(parents=True)
    assert find_repository(below) == top
    assert find_repository(top) == top


def test_a_folder_outside_of_any_repository_is_in_none(tmp_path: Path) -> None:
    found = find_repository(tmp_path.resolve())
    assert found is None or not found.is_relative_to(tmp_path.resolve())


def test_a_dangling_git_link_is_found(tmp_path: Path) -> None:
    (tmp_path / ".git").symlink_to(tmp_path / "gone")
    assert find_repository(tmp_path) == tmp_path
    with pytest.raises(RepositoryError):
        git.open_repository(tmp_path)


def test_open_tells_format_and_kind(top: Path) -> None:
    repository = git.open_repository(top)
    assert repository.object_format == "sha1"
    assert repository.git_dir == top / ".git"
    assert not repository.is_bare
    assert not repository.is_shallow


def test_commands_answer(top: Path) -> None:
    repository = git.open_repository(top)
    assert repository.read("ls-files", "-z") == b"train.py\0"
    told = repository.read("cat-file", "--batch-check", stdin=b"HEAD\n")
    assert told.decode().startswith(run_git(top, "rev-parse", "HEAD"))


def test_much_input_and_output_at_once_do_not_block(top: Path) -> None:
    count = 20_000
    told = git.open_repository(top).read("cat-file", "--batch-check", stdin=b"HEAD\n" * count)
    assert told.count(b"\n") == count


def test_the_callers_git_variables_do_not_leak_in(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other", {"other.py": b""})
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
        "GIT_CONFIG_PARAMETERS": "'core.bare=true'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_TRACE": str(tmp_path / "trace"),
    }.items():
        monkeypatch.setenv(name, value)
    repository = git.open_repository(top)
    assert repository.read("ls-files", "-z") == b"train.py\0"
    assert not repository.is_bare
    assert not (tmp_path / "trace").exists()


def test_git_sees_nothing_but_the_listed_variables(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that git starts writes down its environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    script = top / "show-environment"
    script.write_text("#!/bin/sh\nenv >seen\n")
    script.chmod(0o755)
    monkeypatch.setattr(git, "_SETTINGS", ("alias.tell=!./show-environment",))
    git.open_repository(top).read("tell")
    seen = {line.partition("=")[0] for line in (top / "seen").read_text().splitlines()}
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert {"GIT_OPTIONAL_LOCKS", "GIT_NO_LAZY_FETCH", "GIT_ATTR_SOURCE", "PATH"} <= seen
    of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    unknown = {n for n in seen if not n.startswith("GIT_")} - of_the_shell
    assert unknown <= {"PATH", "LC_ALL", "HOME", "SUDO_UID"}


def test_settings_of_the_repository_are_overruled(top: Path) -> None:
    run_git(top, "config", "core.fsmonitor", "/evil")
    run_git(top, "config", "core.hooksPath", "/evil")
    run_git(top, "config", "protocol.allow", "always")
    repository = git.open_repository(top)
    for key, value in (
        ("core.fsmonitor", b"false"),
        ("core.hooksPath", os.devnull.encode()),
        ("core.pager", b"cat"),
        ("protocol.allow", b"never"),
        ("diff.external", b""),
    ):
        assert repository.read("config", "--get", key) == value + b"\n"


def test_core_worktree_of_the_repository_is_overruled(top: Path, tmp_path: Path) -> None:
    run_git(top, "config", "core.worktree", str(tmp_path))
    repository = git.open_repository(top)
    assert repository.read("rev-parse", "--show-toplevel").rstrip() == os.fsencode(top)


def test_output_beyond_the_limit_is_refused(top: Path) -> None:
    with pytest.raises(LimitError, match="more than 10 bytes"):
        git.open_repository(top).read("cat-file", "--batch", stdin=b"HEAD\n", limit=10)


def test_git_that_does_not_answer_is_ended(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe as a configuration file keeps git waiting for ever."""
    repository = git.open_repository(top)
    os.mkfifo(top / ".git" / "waiting")
    with (top / ".git" / "config").open("a") as stream:
        stream.write("[include]\npath = waiting\n")
    monkeypatch.setattr(git, "TIMEOUT_S", 0.3)
    with pytest.raises(LimitError, match=r"needs more than 0\.3 seconds"):
        repository.read("ls-files")


def test_a_failure_names_the_command_and_no_absolute_path(top: Path) -> None:
    (top / ".git" / "index").write_bytes(b"DIRC damaged" * 10)
    with pytest.raises(RepositoryError, match="git ls-files failed") as caught:
        git.open_repository(top).read("ls-files")
    assert str(top) not in str(caught.value)


def test_a_git_folder_that_is_no_repository_does_not_lead_to_the_one_above(top: Path) -> None:
    inner = top / "inner"
    (inner / ".git").mkdir(parents=True)
    with pytest.raises(RepositoryError) as caught:
        git.open_repository(inner)
    assert str(top) not in str(caught.value)


def test_the_same_holds_when_a_colon_in_the_path_blinds_git(tmp_path: Path) -> None:
    """A colon splits GIT_CEILING_DIRECTORIES, so git does walk up; mlbom notices."""
    above = make_repository(tmp_path / "a:b", FILES)
    inner = above / "inner"
    (inner / ".git").mkdir(parents=True)
    with pytest.raises(RepositoryError, match=r"\.git is damaged"):
        git.open_repository(inner)


def test_without_git_there_is_a_coded_error(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(top.parent))
    with pytest.raises(GitMissingError):
        git.open_repository(top)


def test_a_repository_of_another_user_is_not_read(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    _pretend_another_owner(monkeypatch)
    with pytest.raises(UnverifiedOwnerError):
        git.open_repository(top)


def test_the_users_own_safe_directory_is_believed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".gitconfig").write_text(f"[safe]\n\tdirectory = {top}\n")
    _pretend_another_owner(monkeypatch)
    repository = git.open_repository(top)
    assert repository.trusted == (str(top),)
    assert repository.read("ls-files", "-z") == b"train.py\0"


def test_safe_directory_in_the_repository_itself_is_not_believed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    run_git(top, "config", "safe.directory", "*")
    _pretend_another_owner(monkeypatch)
    with pytest.raises(UnverifiedOwnerError):
        git.open_repository(top)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root for chown")
def test_a_repository_that_really_belongs_to_another_user_is_not_read(top: Path) -> None:
    for path in (top, top / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(UnverifiedOwnerError):
        git.open_repository(top)


def test_importing_the_module_and_looking_for_a_repository_import_no_gitpython() -> None:
    script = (
        "import sys, pathlib, mlbom.git, mlbom.collect.repository.inspection\n"
        "from mlbom.config import find_repository\n"
        "find_repository(pathlib.Path('/'))\n"
        "assert 'git' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def _pretend_another_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch on git's own test hook for its check of the owner."""
    variables = {**git._ENVIRONMENT, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    monkeypatch.setattr(git, "_ENVIRONMENT", variables)
