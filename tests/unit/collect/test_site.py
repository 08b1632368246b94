"""Tests of mlbom.collect.environment.site: which environment is inspected and where its packages lie."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbom.collect.environment.site import NoSite, Site, find_site
from mlbom.errors import InspectedPythonError, PathNotFoundError
from mlbom.evidence.observation import GapKind
from tests.fixtures.environment import scope_of, write_distribution, write_venv

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="links, pipes and users as POSIX has them"
)


def site_of(root: Path, python: Path | None = None) -> Site:
    found = find_site(scope_of(root, python))
    assert isinstance(found, Site), found
    return found


def test_project_venv_is_found(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv")
    write_distribution(site, "native", "1", tag="cp311-cp311-manylinux_2_28_aarch64")
    found = site_of(tmp_path)
    assert found == Site(
        prefix=tmp_path / ".venv",
        paths=(site,),
        python_version="3.11.7",
        implementation="CPython",
        platform_tag="linux_aarch64",
        found_by=".venv",
    )


def test_environment_nearest_to_path_wins(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    inner = tmp_path / "part"
    write_venv(inner / "venv")
    found = find_site(scope_of(tmp_path, path=inner))
    assert isinstance(found, Site)
    assert found.found_by == "part/venv"
    assert any(".venv, which was not read" in remark for remark in found.remarks)


def test_named_interpreter_wins_over_the_project(tmp_path: Path) -> None:
    write_venv(tmp_path / "project" / ".venv")
    write_venv(tmp_path / "other", "3.12.4")
    found = site_of(tmp_path / "project", tmp_path / "other" / "bin" / "python")
    assert (found.prefix, found.python_version, found.found_by) == (
        tmp_path / "other",
        "3.12.4",
        "--python",
    )


def test_environment_folder_can_be_named(tmp_path: Path) -> None:
    write_venv(tmp_path / "env311")
    assert site_of(tmp_path, tmp_path / "env311").prefix == tmp_path / "env311"


@posix_only
def test_link_of_the_executable_is_not_resolved(tmp_path: Path) -> None:
    base = write_venv(tmp_path / "base").parents[2]
    site = write_venv(tmp_path / "env")
    link = tmp_path / "env" / "bin" / "python"
    link.unlink()
    link.symlink_to(base / "bin" / "python")
    assert site_of(tmp_path, link).paths == (site,)


@posix_only
def test_dangling_link_in_a_copied_environment_is_readable(tmp_path: Path) -> None:
    site = write_venv(tmp_path / "env")
    link = tmp_path / "env" / "bin" / "python"
    link.unlink()
    link.symlink_to("/nowhere/python3.11")
    assert site_of(tmp_path, link).paths == (site,)


@posix_only
def test_link_outside_of_an_environment_leads_to_its_installation(tmp_path: Path) -> None:
    site = tmp_path / "opt" / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "opt" / "bin").mkdir()
    (tmp_path / "opt" / "bin" / "python3.12").write_bytes(b"\x7fELF")
    (tmp_path / "opt" / "bin" / "python3").symlink_to("python3.12")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "python").symlink_to(tmp_path / "opt" / "bin" / "python3.12")
    found = site_of(tmp_path, tmp_path / "mine" / "python")
    assert (found.prefix, found.paths, found.python_version) == (tmp_path / "opt", (site,), "3.12")


def test_headers_tell_the_patch_level_of_an_installation(tmp_path: Path) -> None:
    (tmp_path / "opt" / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    (tmp_path / "opt" / "include" / "python3.12").mkdir(parents=True)
    header = tmp_path / "opt" / "include" / "python3.12" / "patchlevel.h"
    header.write_text('#define PY_MICRO_VERSION 4\n#define PY_VERSION\t"3.12.4"\n')
    assert site_of(tmp_path, tmp_path / "opt").python_version == "3.12.4"


def test_conda_prefix(tmp_path: Path) -> None:
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    (tmp_path / "env" / "conda-meta" / "python-3.10.14-h955ad1f_1.json").write_text("{}")
    site = tmp_path / "env" / "lib" / "python3.10" / "site-packages"
    site.mkdir(parents=True)
    found = site_of(tmp_path)
    assert (found.paths, found.python_version, found.found_by) == ((site,), "3.10.14", "env")


@pytest.mark.parametrize(
    ("settings", "version", "implementation"),
    [
        ({"version_info": "3.12.3", "implementation": "CPython"}, "3.12.3", "CPython"),
        ({"version_info": "3.12.3.final.0", "version": "20.26.1"}, "3.12.3", "CPython"),
        ({"version_info": "3.12.3", "implementation": "PyPy"}, "3.12.3", "PyPy"),
    ],
)
def test_version_as_uv_and_virtualenv_write_it(
    tmp_path: Path, settings: dict[str, str], version: str, implementation: str
) -> None:
    write_venv(tmp_path / ".venv", "3.12.3", settings)
    found = site_of(tmp_path)
    assert (found.python_version, found.implementation) == (version, implementation)


def test_pypy_is_known_by_its_library_folder(tmp_path: Path) -> None:
    site = tmp_path / ".venv" / "lib" / "pypy3.10" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /x/bin\nversion = 3.10.14\n")
    found = site_of(tmp_path)
    assert (found.paths, found.implementation) == ((site,), "PyPy")


def test_windows_layout(tmp_path: Path) -> None:
    site = tmp_path / ".venv" / "Lib" / "site-packages"
    (tmp_path / ".venv" / "Scripts").mkdir(parents=True)
    (tmp_path / ".venv" / "Scripts" / "python.exe").write_bytes(b"MZ\x90\x00")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = C:\\Python311\nversion = 3.11.7\n")
    write_distribution(site, "native", "1", tag="cp311-cp311-win_amd64")
    found = site_of(tmp_path, tmp_path / ".venv" / "Scripts" / "python.exe")
    assert found.platform_tag == "win_amd64"
    assert [os.path.realpath(path) for path in found.paths] == [os.path.realpath(site)]


def test_base_installation_is_included_when_the_settings_say_so(tmp_path: Path) -> None:
    dist = tmp_path / "usr" / "lib" / "python3" / "dist-packages"
    local = tmp_path / "usr" / "local" / "lib" / "python3.11" / "dist-packages"
    dist.mkdir(parents=True)
    local.mkdir(parents=True)
    settings = {"home": str(tmp_path / "usr" / "bin"), "include-system-site-packages": "true"}
    site = write_venv(tmp_path / ".venv", settings=settings)
    assert site_of(tmp_path).paths == (site, local, dist)


def test_missing_base_installation_is_remarked(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv", settings={"include-system-site-packages": "true"})
    assert any("base installation" in remark for remark in site_of(tmp_path).remarks)


def test_plain_lines_of_pth_files_are_followed(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv")
    (tmp_path / "src").mkdir()
    (site / "extra").mkdir()
    (site / "a.pth").write_text(f"# comment\n\nextra\n/nowhere/at/all\n{tmp_path / 'src'}\n")
    found = site_of(tmp_path)
    assert found.paths == (site, site / "extra", tmp_path / "src")


def test_code_that_runs_at_start_is_named_in_a_remark(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv")
    (site / "hook.pth").write_text("import os; os.environ['X'] = '1'\n")
    (site / "sitecustomize.py").write_text("")
    remark = next(r for r in site_of(tmp_path).remarks if "whenever this Python starts" in r)
    assert "hook.pth" in remark
    assert "sitecustomize.py" in remark


@posix_only
def test_lib64_link_is_not_a_second_place(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv")
    (tmp_path / ".venv" / "lib64").symlink_to("lib")
    assert site_of(tmp_path).paths == (site,)


def test_stale_library_folder_is_not_on_the_path(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv")
    (tmp_path / ".venv" / "lib" / "python3.9" / "site-packages").mkdir(parents=True)
    assert site_of(tmp_path).paths == (site,)


def test_no_environment_is_said_with_the_places_looked_at(tmp_path: Path) -> None:
    found = find_site(scope_of(tmp_path))
    assert isinstance(found, NoSite)
    assert found.kind is GapKind.ABSENT
    assert ".venv, venv" in found.reason


def test_own_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_venv(tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    found = find_site(scope_of(tmp_path))
    assert isinstance(found, NoSite)
    assert "mlbom itself runs in" in found.reason


def test_own_environment_is_read_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_venv(tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    found = site_of(tmp_path, tmp_path / ".venv" / "bin" / "python")
    assert "mlbom itself runs in" in found.remarks[0]


def test_missing_interpreter(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        find_site(scope_of(tmp_path, tmp_path / "bin" / "python"))


def test_bare_command_name_gets_its_path_as_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python-of-mine").write_bytes(b"\x7fELF")
    (tmp_path / "python-of-mine").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PathNotFoundError) as caught:
        find_site(scope_of(tmp_path, Path("python-of-mine")))
    assert str(tmp_path / "python-of-mine") in caught.value.hint


def test_folder_that_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(InspectedPythonError, match="not the root"):
        find_site(scope_of(tmp_path, tmp_path))


def test_executable_without_site_packages(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_bytes(b"\x7fELF")
    with pytest.raises(InspectedPythonError, match="no site-packages"):
        find_site(scope_of(tmp_path, tmp_path / "bin" / "python"))


def test_pyenv_shim_is_refused_and_the_binary_named(tmp_path: Path) -> None:
    root = tmp_path / "pyenv"
    binary = root / "versions" / "3.11.7" / "bin" / "python3"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    (root / "shims").mkdir()
    (root / "version").write_text("3.11.7\n")
    (root / "shims" / "python3").write_text('#!/usr/bin/env bash\nexec "pyenv" exec\n')
    with pytest.raises(InspectedPythonError) as caught:
        find_site(scope_of(tmp_path, root / "shims" / "python3"))
    assert str(binary) in caught.value.hint


def test_console_script_is_refused_and_its_interpreter_named(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    script = tmp_path / ".venv" / "bin" / "train"
    script.write_text(f"#!{tmp_path}/.venv/bin/python\nimport sys\n")
    with pytest.raises(InspectedPythonError) as caught:
        find_site(scope_of(tmp_path, script))
    assert str(tmp_path / ".venv" / "bin" / "python") in caught.value.hint


def test_environment_without_site_packages_is_none(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    found = find_site(scope_of(tmp_path))
    assert isinstance(found, NoSite)
    assert found.reason == ".venv holds no site-packages"


def test_unreadable_settings_are_no_environment(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("x" * 70_000)
    found = find_site(scope_of(tmp_path))
    assert isinstance(found, NoSite)
    assert found.kind is GapKind.UNREADABLE


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may enter, and give up the rights of root meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)


@posix_only
def test_packages_that_may_not_be_listed_are_not_none(open_folder: Path) -> None:
    site = write_venv(open_folder / ".venv")
    site.chmod(0)
    found = find_site(scope_of(open_folder))
    site.chmod(0o755)
    assert isinstance(found, NoSite)
    assert found.kind is GapKind.UNREADABLE
    assert "site-packages" in found.reason


@posix_only
def test_named_folder_that_may_not_be_listed_is_remarked(open_folder: Path) -> None:
    site = write_venv(open_folder / ".venv")
    (site / "closed").mkdir(mode=0)
    (site / "x.pth").write_text("closed\n")
    remarks = site_of(open_folder).remarks
    (site / "closed").chmod(0o755)
    assert any("cannot be listed: closed" in remark for remark in remarks)


@posix_only
def test_real_venv_agrees_with_its_own_interpreter(tmp_path: Path) -> None:
    """The interpreter of a venv made by the standard library is asked, after we have looked."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")], check=True
    )
    found = site_of(tmp_path)
    code = "import sys, platform; print(platform.python_version()); print(*sys.path, sep='\\n')"
    python = tmp_path / ".venv" / "bin" / "python"
    told = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    version, *path = told.stdout.splitlines()
    assert found.python_version == version
    assert [str(p) for p in found.paths] == [p for p in path if p.endswith("-packages")]
