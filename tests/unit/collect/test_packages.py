"""Tests of mlbom.collect.packages: what is installed, where it came from, what requires what."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from mlbom.collect.environment.dependency import marker_environment
from mlbom.collect.environment.distribution import Distribution, installed, normal_name, package_url
from mlbom.collect.environment.site import Site
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Environment, Package, Pair
from mlbom.evidence.observation import GapKind
from tests.fixtures.environment import collected, reasons, write_distribution, write_venv

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="links, pipes and users as POSIX has them"
)

HEX = "ab" * 32


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_venv(tmp_path / ".venv")


def packages(root: Path) -> dict[str, Package]:
    return {package.name or "": package for package in collected("packages", root).nodes(Package)}


def test_package_is_observed_with_its_purl(tmp_path: Path, site: Path) -> None:
    headers = ["Summary: Tensors", "License-Expression: BSD-3-Clause", "Author: PyTorch Team"]
    write_distribution(site, "Torch_Like.x", "2.13.0+cpu", headers=headers)
    package = packages(tmp_path)["Torch_Like.x"]
    assert package.id == "pkg:pypi/torch-like-x@2.13.0%2Bcpu"
    assert (package.version, package.summary) == ("2.13.0+cpu", "Tensors")
    assert (package.licence, package.licence_source) == ("BSD-3-Clause", "License-Expression")
    assert package.author == "PyTorch Team"
    assert package.environments == ("env:release",)


@pytest.mark.parametrize("version", ["2.13.0+cpu", "1!2.0", "0.5~rc1", "1.0.post1"])
def test_purl_agrees_with_packageurl(version: str) -> None:
    packageurl = pytest.importorskip("packageurl")
    ours = package_url("Torch_Like", version)
    told = packageurl.PackageURL.from_string(ours)
    assert (told.type, told.name, told.version) == ("pypi", "torch-like", version)
    assert ours == packageurl.PackageURL("pypi", None, "Torch_Like", version).to_string()


def test_packages_are_counted(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "a", "1")
    write_distribution(site, "b", "1")
    environment = collected("packages", tmp_path).node(Environment, "env:release")
    assert environment is not None
    assert environment.package_count == 2


def test_no_environment_is_one_gap_for_all_three_collectors(tmp_path: Path) -> None:
    names = ("packages", "runtime", "accelerator")
    graphs = [collected(name, tmp_path) for name in names]
    (gap,) = [gap for graph in graphs for gap in graph.gaps]
    assert (gap.subject, gap.kind) == ("env:release", GapKind.ABSENT)
    assert not any(graph.facts for graph in graphs)


def test_spellings_of_one_name_are_one_package(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "My-Package", "1.0")
    later = tmp_path / "later"
    write_distribution(later, "my_package", "1.0")
    (site / "x.pth").write_text(f"{later}\n")
    graph = collected("packages", tmp_path)
    assert [p.name for p in graph.nodes(Package)] == ["My-Package"]
    assert not reasons(graph, field="version")


def test_second_version_of_a_name_is_a_gap_that_shows_both(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "numpy", "2.4.0")
    later = tmp_path / "later"
    write_distribution(later, "numpy", "1.26.4")
    (site / "x.pth").write_text(f"{later}\n")
    graph = collected("packages", tmp_path)
    assert [p.version for p in graph.nodes(Package)] == ["2.4.0"]
    (reason,) = reasons(graph, "pkg:pypi/numpy@2.4.0", "version")
    assert "2.4.0" in reason
    assert "1.26.4" in reason


def test_leftover_of_an_interrupted_installation_is_not_installed(
    tmp_path: Path, site: Path
) -> None:
    shutil.move(write_distribution(site, "torch", "1.0"), site / "~orch-1.0.dist-info")
    assert packages(tmp_path) == {}


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        (b"Name: x\n", GapKind.UNREADABLE),
        (b"Version: 1\n", GapKind.UNREADABLE),
        (b"Name: ../../x\nVersion: 1\n", GapKind.UNREADABLE),
        (b"Name: x\nVersion: 1 <script>\n", GapKind.UNREADABLE),
        (b"Name: x\nVersion: 1\nSummary: \xff\xfe\n", GapKind.UNREADABLE),
        (b"", GapKind.UNREADABLE),
        (None, GapKind.ABSENT),
    ],
)
def test_broken_metadata_is_a_gap_and_the_others_go_on(
    tmp_path: Path, site: Path, metadata: bytes | None, kind: GapKind
) -> None:
    write_distribution(site, "good", "1")
    broken = write_distribution(site, "broken", "1") / "METADATA"
    broken.unlink()
    if metadata is not None:
        broken.write_bytes(metadata)
    graph = collected("packages", tmp_path)
    assert [p.name for p in graph.nodes(Package)] == ["good"]
    (gap,) = [g for g in graph.gaps if g.subject == "broken-1.dist-info"]
    assert gap.kind is kind


def test_egg_info_folder_and_file_are_read(tmp_path: Path, site: Path) -> None:
    (site / "old.egg-info").mkdir()
    (site / "old.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 1.0\nLicense: MIT\n")
    (site / "older-2.0.egg-info").write_text("Name: older\nVersion: 2.0\nLicense: UNKNOWN\n")
    graph = collected("packages", tmp_path)
    assert {p.id for p in graph.nodes(Package)} == {"pkg:pypi/old@1.0", "pkg:pypi/older@2.0"}
    assert reasons(graph, "pkg:pypi/older@2.0", "record")


def test_reader_agrees_with_importlib_metadata_on_a_real_environment() -> None:
    """What runs these tests is a real environment of real distributions."""
    folder = Path(sysconfig.get_paths()["purelib"])
    ours: dict[str, Distribution] = {}
    for found in installed([folder]):
        if isinstance(found, Distribution):
            ours.setdefault(found.key, found)
    theirs = {normal_name(d.name): d for d in importlib.metadata.distributions(path=[str(folder)])}
    assert set(ours) == set(theirs)
    assert len(ours) > 20
    for key, found in ours.items():
        told = theirs[key]
        assert (found.name, found.version) == (told.name, told.version)
        assert list(found.many("requires-dist")) == (told.requires or [])
        assert found.one("summary") == (told.metadata["Summary"] or "").strip()


# --- provenance -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "author"),
    [
        (["Author: Ada Lovelace"], "Ada Lovelace"),
        (["Author: Ada Lovelace <ada@example.org>"], "Ada Lovelace"),
        (["Author: ada@example.org", "Author-email: ada@example.org"], None),
        (['Author-email: "Lovelace, Ada" <a@x.org>, Bob <b@x.org>'], "Lovelace, Ada, Bob"),
        (["Author-email: a@x.org, b@x.org"], None),
        (["Author: UNKNOWN", "Maintainer: Grace"], "Grace"),
        (["Maintainer-email: Grace <g@x.org>"], "Grace"),
        (["Author: Ada", "Author-email: Other <o@x.org>"], "Ada"),
    ],
)
def test_author_is_named_without_address(
    tmp_path: Path, site: Path, headers: list[str], author: str | None
) -> None:
    write_distribution(site, "x", "1", headers=headers)
    assert packages(tmp_path)["x"].author == author


@pytest.mark.parametrize(
    ("headers", "homepage"),
    [
        (["Home-page: https://x.org/a?token=1"], "https://x.org/a"),
        (["Project-URL: Home-Page, https://user:pw@x.org/a"], "https://x.org/a"),
        (
            ["Project-URL: Docs, https://d.org", "Project-URL: Source Code, https://s.org"],
            "https://s.org",
        ),
        (["Home-page: UNKNOWN"], None),
        (["Home-page: javascript:alert(1)"], None),
        (["Home-page: file:///home/someone/x"], None),
    ],
)
def test_homepage_is_a_clean_web_address(
    tmp_path: Path, site: Path, headers: list[str], homepage: str | None
) -> None:
    write_distribution(site, "x", "1", headers=headers)
    assert packages(tmp_path)["x"].homepage == homepage


def test_local_source_inside_the_project_is_relative(tmp_path: Path, site: Path) -> None:
    url = {"url": (tmp_path / "libs" / "my lib").as_uri(), "dir_info": {"editable": True}}
    write_distribution(site, "x", "1", direct_url=url)
    assert packages(tmp_path)["x"].source == "libs/my lib"


def test_local_source_elsewhere_keeps_only_its_name(tmp_path: Path, site: Path) -> None:
    url = {
        "url": "file:///home/someone/wheels/x-1-py3-none-any.whl",
        "archive_info": {"hashes": {"sha256": HEX}},
    }
    write_distribution(site, "x", "1", direct_url=url)
    package = packages(tmp_path)["x"]
    assert package.source == "x-1-py3-none-any.whl"
    assert str(package.wheel) == f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("told", "source"),
    [
        (
            {
                "url": "https://user:secret@git.org/x.git",
                "vcs_info": {"vcs": "git", "commit_id": "c" * 40},
            },
            f"git+https://git.org/x.git@{'c' * 40}",
        ),
        (
            {"url": "ssh://git@git.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "d" * 40}},
            f"git+ssh://git.org/x.git@{'d' * 40}",
        ),
        (
            {"url": "https://x.org/x-1.tar.gz?sig=abc", "archive_info": {}},
            "https://x.org/x-1.tar.gz",
        ),
    ],
)
def test_source_is_written_without_credentials(
    tmp_path: Path, site: Path, told: dict[str, Any], source: str
) -> None:
    write_distribution(site, "x", "1", direct_url=told)
    assert packages(tmp_path)["x"].source == source


@pytest.mark.parametrize(
    ("info", "wheel"),
    [
        ({"hash": f"sha256={HEX}"}, f"sha256:{HEX}"),
        ({"hash": f"md5={HEX}"}, "None"),
        ({"hashes": {"md5": HEX}}, "None"),
        ({}, "None"),
    ],
)
def test_wheel_of_a_drive_keeps_only_its_name(
    tmp_path: Path, site: Path, info: dict[str, Any], wheel: str
) -> None:
    url = {"url": "file:///C:/Users/someone/x-1-py3-none-any.whl", "archive_info": info}
    write_distribution(site, "x", "1", direct_url=url)
    package = packages(tmp_path)["x"]
    assert (package.source, str(package.wheel)) == ("x-1-py3-none-any.whl", wheel)


def test_digest_of_a_source_archive_is_not_the_wheels(tmp_path: Path, site: Path) -> None:
    told = {"url": "https://x.org/x-1.tar.gz", "archive_info": {"hash": f"sha256={HEX}"}}
    write_distribution(site, "x", "1", direct_url=told)
    assert packages(tmp_path)["x"].wheel is None


@pytest.mark.parametrize("told", [{"url": 7}, {"url": "https://[x"}, {"no": "url"}])
def test_malformed_direct_url_is_a_gap(tmp_path: Path, site: Path, told: dict[str, Any]) -> None:
    write_distribution(site, "x", "1", direct_url=told)
    gaps = [g for g in collected("packages", tmp_path).gaps if g.field == "source"]
    assert [g.kind for g in gaps] == [GapKind.UNREADABLE]


# --- record ---------------------------------------------------------------------------------------


def record_of(root: Path) -> str:
    return str(packages(root)["x"].record)


def test_record_digest_is_equal_for_another_installer_and_place(tmp_path: Path) -> None:
    digests = set()
    for installer, extra in (
        ("pip", ["../../../bin/x,sha256=AAA,1", "x/__pycache__/a.cpython-311.pyc,,"]),
        ("uv", ["x-1.dist-info/uv_cache.json,sha256=BBB,9", "x-1.dist-info/REQUESTED,sha256=,0"]),
    ):
        site = write_venv(tmp_path / installer / ".venv")
        rows = ["x/a.py,sha256=abc,3", '"x/b,c.py",sha256=def,3', *extra]
        rows = rows if installer == "pip" else rows[::-1]
        write_distribution(site, "x", "1", record=rows)
        digests.add(record_of(tmp_path / installer))
    assert len(digests) == 1


def test_record_digest_notices_another_file(tmp_path: Path) -> None:
    digests = set()
    for hash_ in ("abc", "abd"):
        site = write_venv(tmp_path / hash_ / ".venv")
        write_distribution(site, "x", "1", record=[f"x/a.py,sha256={hash_},3"])
        digests.add(record_of(tmp_path / hash_))
    assert len(digests) == 2


def test_record_digest_ignores_installer_files_of_the_own_folder_only(tmp_path: Path) -> None:
    digests = set()
    for name in ("x-1.dist-info/INSTALLER", "x/INSTALLER"):
        site = write_venv(tmp_path / name.replace("/", "-") / ".venv")
        write_distribution(site, "x", "1", record=["x/a.py,sha256=abc,3", f"{name},sha256=d,3"])
        digests.add(record_of(tmp_path / name.replace("/", "-")))
    assert len(digests) == 2


def test_missing_record_is_a_gap(tmp_path: Path, site: Path) -> None:
    (write_distribution(site, "x", "1") / "RECORD").unlink()
    graph = collected("packages", tmp_path)
    assert reasons(graph, "pkg:pypi/x@1", "record") == [
        "no RECORD tells which files were installed"
    ]


def test_record_that_is_no_text_is_unreadable(tmp_path: Path, site: Path) -> None:
    (write_distribution(site, "x", "1") / "RECORD").write_bytes(b"\xff\xff,\x00")
    gaps = [g for g in collected("packages", tmp_path).gaps if g.field == "record"]
    assert [g.kind for g in gaps] == [GapKind.UNREADABLE]


# --- dependencies ---------------------------------------------------------------------------------


def edges(graph: Graph) -> dict[str, list[str]]:
    return {
        p.id.removeprefix("pkg:pypi/"): [d.removeprefix("pkg:pypi/") for d in p.depends_on]
        for p in graph.nodes(Package)
    }


def test_dependencies_are_the_installed_distributions(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "app", "1", requires=["Num_Py>=2", "six"])
    write_distribution(site, "num-py", "2.1")
    write_distribution(site, "six", "1.17")
    assert edges(collected("packages", tmp_path)) == {
        "app@1": ["num-py@2.1", "six@1.17"],
        "num-py@2.1": [],
        "six@1.17": [],
    }


def test_markers_are_evaluated_for_the_inspected_python(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv", "3.9.1", {"implementation": "PyPy"})
    write_distribution(site, "native", "1", tag="cp39-cp39-win_amd64")
    conditions = {
        "a": "python_version < '3.10'",
        "b": "sys_platform == 'win32' and platform_machine == 'AMD64'",
        "c": "os_name == 'nt' and platform_system == 'Windows'",
        "d": "platform_python_implementation == 'PyPy' and implementation_name == 'pypy'",
        "e": "python_full_version >= '3.9.1'",
        "f": "sys_platform == 'linux' or sys_platform == 'darwin'",
        "g": "python_version >= '3.10'",
    }
    requires = [f"{name}; {marker}" for name, marker in conditions.items()]
    write_distribution(site, "app", "1", requires=requires)
    for name in conditions:
        write_distribution(site, name, "1")
    assert edges(collected("packages", tmp_path))["app@1"] == [f"{n}@1" for n in "abcde"]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("linux_x86_64", ("posix", "linux", "Linux", "x86_64")),
        ("macosx_arm64", ("posix", "darwin", "Darwin", "arm64")),
        ("win32", ("nt", "win32", "Windows", "x86")),
        ("win_arm64", ("nt", "win32", "Windows", "ARM64")),
    ],
)
def test_marker_environment(tag: str, expected: tuple[str, ...]) -> None:
    site = Site(
        prefix=Path("/x"),
        paths=(),
        python_version="3.12.1",
        implementation="CPython",
        platform_tag=tag,
        found_by="",
    )
    told = marker_environment(site)
    names = ("os_name", "sys_platform", "platform_system", "platform_machine")
    assert tuple(told[name] for name in names) == expected
    assert told["python_version"] == "3.12"


def test_extras_are_followed_transitively(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "app", "1", requires=["web[fast]"])
    requires = ["speed; extra == 'fast'", "web[tls]; extra == 'fast'", "crypt>=3; extra == 'tls'"]
    requires += ["docs; extra == 'docs'"]
    write_distribution(site, "web", "2", requires=requires)
    for name in ("speed", "crypt", "docs"):
        write_distribution(site, name, "3")
    graph = collected("packages", tmp_path)
    assert edges(graph)["web@2"] == ["crypt@3", "speed@3"]
    web = graph.node(Package, "pkg:pypi/web@2")
    assert web is not None
    assert web.extras == (
        Pair("fast", "speed"),
        Pair("fast", "web[tls]"),
        Pair("tls", "crypt>=3"),
    )


def test_markers_beside_an_extra_are_those_of_the_inspected_python(tmp_path: Path) -> None:
    site = write_venv(tmp_path / ".venv", "3.9.1")
    requires = [
        "a; python_version < '3.10' and extra == 'x'",
        "b; python_version >= '3.10' and extra == 'x'",
    ]
    write_distribution(site, "app", "1", requires=["kit[X]"])
    write_distribution(site, "kit", "1", requires=requires)
    for name in "ab":
        write_distribution(site, name, "1")
    assert edges(collected("packages", tmp_path))["kit@1"] == ["a@1"]


def test_requirement_that_needs_no_extra_is_not_said_to_come_from_one(
    tmp_path: Path, site: Path
) -> None:
    write_distribution(site, "app", "1", requires=["kit[x]"])
    requires = ["a", "b; extra == 'x' or os_name == 'posix' or os_name == 'nt'"]
    write_distribution(site, "kit", "1", requires=requires)
    for name in "ab":
        write_distribution(site, name, "1")
    kit = collected("packages", tmp_path).node(Package, "pkg:pypi/kit@1")
    assert kit is not None
    assert kit.extras == ()


def test_cycle_of_extras_ends(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "a", "1", requires=["b[x]", "b[y]; extra == 'z'"])
    write_distribution(site, "b", "1", requires=["a[z]; extra == 'x'", "c; extra == 'y'"])
    write_distribution(site, "c", "1")
    assert edges(collected("packages", tmp_path)) == {
        "a@1": ["b@1"],
        "b@1": ["a@1", "c@1"],
        "c@1": [],
    }


def test_missing_requirement_is_a_gap_that_names_it(tmp_path: Path, site: Path) -> None:
    requires = ["gone>=2", "other; sys_platform == 'nowhere'", "kit; extra == 'kit'"]
    write_distribution(site, "app", "1", requires=requires)
    graph = collected("packages", tmp_path)
    assert reasons(graph, "pkg:pypi/app@1", "depends_on") == [
        "app requires gone>=2, but it is not installed"
    ]


def test_version_that_does_not_fit_is_a_gap(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "app", "1", requires=["numpy<2", "torch==2.13.0"])
    write_distribution(site, "numpy", "2.1")
    write_distribution(site, "torch", "2.13.0+cpu")
    graph = collected("packages", tmp_path)
    assert reasons(graph, field="depends_on") == ["app requires numpy<2, but 2.1 is installed"]
    assert edges(graph)["app@1"] == ["numpy@2.1", "torch@2.13.0%2Bcpu"]


def test_address_of_a_direct_reference_is_not_repeated(tmp_path: Path, site: Path) -> None:
    requires = ["kit @ https://user:pw@x.org/kit.whl ; extra == 'kit'"]
    write_distribution(site, "app", "1", requires=requires)
    write_distribution(site, "top", "1", requires=["app[kit]"])
    graph = collected("packages", tmp_path)
    assert reasons(graph, field="depends_on") == ["app requires kit, but it is not installed"]
    node = graph.node(Package, "pkg:pypi/app@1")
    assert node is not None
    assert node.extras == (Pair("kit", "kit"),)


def test_requirement_that_cannot_be_understood_is_a_gap(tmp_path: Path, site: Path) -> None:
    nested = "x; " + "(" * 1500 + "os_name == 'nt'" + ")" * 1500
    write_distribution(site, "app", "1", requires=["six", "???", nested, "y;" + "z" * 5000])
    write_distribution(site, "six", "1")
    graph = collected("packages", tmp_path)
    gaps = [g for g in graph.gaps if g.field == "depends_on"]
    assert {g.kind for g in gaps} == {GapKind.UNREADABLE}
    assert len(gaps) == 3
    assert edges(graph)["app@1"] == ["six@1"]


def test_answer_does_not_depend_on_the_order_of_the_folder(tmp_path: Path) -> None:
    graphs = []
    for order in ("abc", "cba"):
        site = write_venv(tmp_path / order / ".venv")
        for name in order:
            write_distribution(site, name, "1", requires=["a[x]", "b; extra == 'x'", "gone"])
        graphs.append(collected("packages", tmp_path / order))
    assert graphs[0] == graphs[1]


@posix_only
def test_real_venv_reads_the_same_inside_and_outside_of_the_project(tmp_path: Path) -> None:
    """Nothing of the environment's place shows in what is said of it."""
    prefix = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    (site,) = (prefix / "lib").glob("python3.*/site-packages")
    write_distribution(site, "app", "1", requires=["lib"], tag="cp311-abi3-manylinux1_x86_64")
    write_distribution(site, "lib", "2", headers=["License: MIT"])
    (tmp_path / "project").mkdir()
    outside = collected("packages", tmp_path / "project", prefix / "bin" / "python")
    shutil.copytree(prefix, tmp_path / "project" / ".venv", symlinks=True)
    assert collected("packages", tmp_path / "project") == outside
    assert edges(outside) == {"app@1": ["lib@2"], "lib@2": []}
