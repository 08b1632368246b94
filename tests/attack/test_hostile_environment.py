"""Attacks by the inspected environment: what it plants must not run, hang, exhaust or leak."""

import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from mlbom.collect.environment.site import find_site
from mlbom.errors import InspectedPythonError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Package, Runtime
from mlbom.evidence.observation import GapKind
from mlbom.evidence.store import dump_graph
from tests.fixtures.environment import (
    collected,
    reasons,
    scope_of,
    write_distribution,
    write_venv,
)

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="links, pipes and users as POSIX has them"
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_venv(tmp_path / ".venv")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Return a path at which a file appears when planted code runs."""
    return tmp_path / "canary"


def inspected(root: Path, python: Path | None = None) -> Graph:
    """Return what all collectors of the environment say; it must fit into evidence.json."""
    names = ("packages", "runtime", "accelerator")
    graph = Graph()
    for name in names:
        graph = graph.merge(collected(name, root, python))
    told = dump_graph(graph)
    assert str(root).encode() not in told
    json.loads(told)
    return graph


def test_planted_start_code_never_runs(tmp_path: Path, site: Path, canary: Path) -> None:
    code = f"open({str(canary)!r}, 'w')"
    (site / "evil.pth").write_text(f"import sys; {code}\nimport\tsys; {code}\n")
    for name in ("sitecustomize.py", "usercustomize.py", "packaging.py", "ast.py", "csv.py"):
        (site / name).write_text(f"{code}\n")
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(f"{code}\n")
    write_distribution(site, "torch", "2.13.0", requires=["x; extra == 'y'", "gone"])
    before = list(sys.path)
    graph = inspected(tmp_path)
    assert [p.name for p in graph.nodes(Package)] == ["torch"]
    assert any("evil.pth" in reason for reason in reasons(graph, "env:release"))
    assert not canary.exists()
    assert sys.path == before


@posix_only
def test_named_script_is_refused_and_never_started(tmp_path: Path, canary: Path) -> None:
    write_venv(tmp_path / ".venv")
    script = tmp_path / ".venv" / "bin" / "python3"
    script.write_text(f"#!/bin/sh\ntouch {canary}\n")
    script.chmod(0o755)
    link = tmp_path / ".venv" / "bin" / "python3.11"
    link.symlink_to("python3")
    for named in (script, link):
        with pytest.raises(InspectedPythonError, match="is a script"):
            find_site(scope_of(tmp_path, named))
    assert not canary.exists()


@posix_only
def test_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "python")
    with pytest.raises(InspectedPythonError, match="no Python executable"):
        find_site(scope_of(tmp_path, tmp_path / "python"))


def test_version_file_with_side_effects_never_runs(
    tmp_path: Path, site: Path, canary: Path
) -> None:
    source = (
        f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n"
        f"__version__ = '2.13.0'\ncuda = pathlib.Path({str(canary)!r}).touch() or '12.8'\n"
        f"hip: (pathlib.Path({str(canary)!r}).touch()) = None\n"
    )
    write_distribution(site, "torch", "2.13.0", files={"torch/version.py": source})
    torch = inspected(tmp_path).node(Runtime, "runtime:torch")
    assert torch is not None
    assert torch.version == "2.13.0"
    assert all(pair.name != "cuda" for pair in torch.build)
    assert not canary.exists()


@pytest.mark.parametrize(
    "source",
    [
        "(" * 60_000,
        "cuda = " + "(" * 190 + "1" + ")" * 190 + "\nx = " + "-" * 60_000 + "1",
        "x = " + "a." * 30_000 + "a",
        "x = " + "lambda: " * 8_000 + "1",
        "x = " + "1 if 1 else " * 5_000 + "1",
    ],
    ids=["parens", "minus", "attributes", "lambdas", "ternaries"],
)
def test_version_file_made_to_exhaust_the_parser_is_a_gap(
    tmp_path: Path, site: Path, source: str
) -> None:
    """How deep the parser goes depends on the Python that runs mlbom; no fact comes out anyway."""
    write_distribution(site, "torch", "2.13.0", files={"torch/version.py": source})
    graph = inspected(tmp_path)
    (gap,) = [g for g in graph.gaps if g.subject == "runtime:torch"]
    assert gap.kind in (GapKind.UNREADABLE, GapKind.ABSENT)
    assert [p.name for p in graph.nodes(Package)] == ["torch"]


@pytest.mark.parametrize(
    "source",
    ["\x00", "cuda = '12'\nif", "# coding: rot13\n\ufeffcuda =", "x" * 70_000],
    ids=["nul", "syntax", "bom", "long"],
)
def test_version_file_that_is_no_source_is_a_gap(tmp_path: Path, site: Path, source: str) -> None:
    write_distribution(site, "torch", "2.13.0", files={"torch/version.py": source})
    graph = inspected(tmp_path)
    gaps = [g for g in graph.gaps if g.subject == "runtime:torch"]
    assert [g.kind for g in gaps] == [GapKind.UNREADABLE]
    assert [p.name for p in graph.nodes(Package)] == ["torch"]


def test_doubtful_escapes_in_the_version_file_print_nothing(
    tmp_path: Path, site: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "__version__ = '2.13.0'\ngit_version = '\\d'\nx = 1 is 1\n"
    write_distribution(site, "torch", "2.13.0", files={"torch/version.py": source})
    inspected(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("filler", ["\n\n" + "x" * 79, "X-Header: y"])
def test_metadata_of_fifty_megabytes_costs_no_memory(
    tmp_path: Path, site: Path, filler: str
) -> None:
    metadata = write_distribution(site, "big", "1") / "METADATA"
    head = "Name: big\nVersion: 1\n"
    metadata.write_text(head + f"{filler}\n" * (50_000_000 // len(filler)))
    write_distribution(site, "small", "1")
    tracemalloc.start()
    graph = inspected(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    names = [p.name for p in graph.nodes(Package)]
    if filler.startswith("\n"):
        assert names == ["big", "small"]
    else:
        assert names == ["small"]
        (gap,) = [g for g in graph.gaps if g.subject == "big-1.dist-info"]
        assert gap.kind is GapKind.UNREADABLE


@posix_only
def test_chain_of_extras_made_to_exhaust_is_bounded(tmp_path: Path, site: Path) -> None:
    chain = [f"bomb[e{n + 1}]; extra == 'e{n}'" for n in range(6000)]
    write_distribution(site, "bomb", "1", requires=["bomb[e0]", *chain])
    write_distribution(site, "good", "1", requires=["bomb"])
    started = time.process_time()
    graph = inspected(tmp_path)
    assert time.process_time() - started < 30
    told = reasons(graph, "pkg:pypi/bomb@1", "depends_on")
    assert any("more than 5000 requirements" in reason for reason in told)
    assert any("too many extras" in reason for reason in told)
    good = graph.node(Package, "pkg:pypi/good@1")
    assert good is not None
    assert good.depends_on == ("pkg:pypi/bomb@1",)


def test_record_with_paths_outside_opens_and_tells_nothing(tmp_path: Path, site: Path) -> None:
    secret = tmp_path / "pipe"
    os.mkfifo(secret)
    inside = ["x/a.py,sha256=abc,3"]
    outside = [f"{secret},sha256=a,1", "C:/x,sha256=b,1", "a/../../../etc/passwd,,", "..,,"]
    write_distribution(site, "x", "1", record=inside)
    clean = inspected(tmp_path).nodes(Package)[0].record
    write_distribution(site, "x", "1", record=[*outside, *inside, "", "no-hash"])
    assert inspected(tmp_path).nodes(Package)[0].record == clean


def test_open_quote_in_a_record_does_not_hide_what_follows(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "x", "1", record=["x/a.py,sha256=abc,3", '"', "x/b.py,sha256=d,3"])
    graph = inspected(tmp_path)
    assert graph.nodes(Package)[0].record is None
    assert [g.kind for g in graph.gaps if g.field == "record"] == [GapKind.UNREADABLE]


@posix_only
@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "/proc/self/environ", "METADATA"])
def test_metadata_that_is_a_link_elsewhere_leaks_nothing(
    tmp_path: Path, site: Path, target: str
) -> None:
    folder = write_distribution(site, "x", "1")
    (folder / "METADATA").unlink()
    (folder / "METADATA").symlink_to(target)
    graph = inspected(tmp_path)
    assert not graph.nodes(Package)
    assert b"root:" not in dump_graph(graph)
    (gap,) = [g for g in graph.gaps if g.subject == "x-1.dist-info"]
    assert gap.kind is GapKind.UNREADABLE


@posix_only
def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path: Path, site: Path) -> None:
    folder = write_distribution(site, "torch", "2.13.0")
    (site / "torch").mkdir()
    for path in (
        folder / "RECORD",
        folder / "WHEEL",
        folder / "LICENSE",
        folder / "direct_url.json",
        site / "torch" / "version.py",
        site / "x.pth",
    ):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    graph = inspected(tmp_path)
    assert [p.name for p in graph.nodes(Package)] == ["torch"]
    assert {g.field for g in graph.gaps if g.kind is GapKind.UNREADABLE} == {"record", "source", ""}


@posix_only
def test_names_with_control_characters_and_wrong_bytes_stay_harmless(
    tmp_path: Path, site: Path
) -> None:
    for name in (b"a\x1b[31m-1.dist-info", b"b\xff-1.dist-info", b"c\n-1.dist-info"):
        folder = os.fsencode(site) + b"/" + name
        os.mkdir(folder)
        with open(folder + b"/METADATA", "wb") as stream:
            stream.write(b"Name: " + name[:1] + b"\nVersion: 1\n")
    (site / "\x1b[2J.pth").write_text("import os\n")
    told = dump_graph(inspected(tmp_path))
    assert b"\x1b" not in told
    assert b"\\u001b" not in told


def test_pth_file_made_to_exhaust_is_bounded(tmp_path: Path, site: Path) -> None:
    for number in range(400):
        (site / f"d{number}").mkdir()
    (site / "a.pth").write_text("".join(f"d{number}\n" for number in range(400)))
    (site / "b.pth").write_text("x\n" * 200_000)
    (site / "c.pth").write_bytes(b"\x00\n/proc/self/fd/\x00\n\xff\xfe\n" + b"/" * 5000 + b"\n")
    found = find_site(scope_of(tmp_path))
    assert len(getattr(found, "paths", ())) == 256
    told = reasons(inspected(tmp_path), "env:release")
    assert any("more than 256 folders" in reason for reason in told)
    assert any("b.pth is larger" in reason for reason in told)


@pytest.mark.parametrize("home", ["\x00", "/dev/null/bin", "/x" * 5000, "\ud800", ""])
def test_hostile_home_of_the_base_installation(tmp_path: Path, home: str) -> None:
    site = write_venv(tmp_path / ".venv", settings={"include-system-site-packages": "true"})
    settings = tmp_path / ".venv" / "pyvenv.cfg"
    told = settings.read_bytes().replace(b"/nowhere/bin", home.encode("utf-8", "surrogatepass"))
    settings.write_bytes(told)
    write_distribution(site, "x", "1")
    assert [p.name for p in inspected(tmp_path).nodes(Package)] == ["x"]


def test_secrets_in_metadata_are_not_repeated(tmp_path: Path, site: Path) -> None:
    token = "hf_" + "A" * 36
    headers = [
        f"Summary: use {token}",
        f"Author: {token}",
        f"Home-page: https://user:{token}@x.org/?t={token}",
        f"License: {token}",
    ]
    url = {"url": f"https://{token}@x.org/x.git?{token}", "vcs_info": {"vcs": "git"}}
    write_distribution(site, "x", "1", headers=headers, direct_url=url)
    assert token.encode() not in dump_graph(inspected(tmp_path))


def test_addresses_of_people_are_not_repeated(tmp_path: Path, site: Path) -> None:
    headers = [
        "Author: Ada <ada@example.org>, bob@example.org (Bob)",
        "Author-email: carol@example.org",
        "Maintainer-email: Dan <dan@example.org>",
    ]
    write_distribution(site, "x", "1", headers=headers)
    assert b"@example.org" not in dump_graph(inspected(tmp_path))
