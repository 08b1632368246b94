"""Tests of mlbom.collect.runtime: the Python, the torch build and the native libraries."""

import platform
from pathlib import Path

import pytest

from mlbom.collect.environment.torch_build import bundled_libraries, torch_version_facts
from mlbom.evidence.nodes import Environment, Pair, Runtime
from mlbom.evidence.observation import GapKind
from mlbom.evidence.origin import Method
from tests.fixtures.environment import collected, reasons, write_distribution, write_venv

# Both forms are torch's own: 2.13 annotates, older releases assign.
ANNOTATED = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '2.13.0+cu130'
debug = False
cuda: Optional[str] = '13.0'
git_version = 'cf30153c4c131c8164ee7798e5022d810682e2cb'
hip: Optional[str] = None
"""
PLAIN = """__version__ = '2.0.1'
debug = False
cuda = '11.7'
git_version = 'e9ebda29d87ce0916ab08c06ab26fd3766a870e5'
hip = None
"""
CPU = ANNOTATED.replace("+cu130", "+cpu").replace("= '13.0'", "= None")
ROCM = CPU.replace("+cpu", "+rocm6.4").replace("hip: Optional[str] = None", "hip = '6.4.43'")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_venv(tmp_path / ".venv")


def write_torch(
    site: Path, version: str, source: str, tag: str = "cp311-cp311-linux_x86_64"
) -> None:
    write_distribution(site, "torch", version, tag=tag, files={"torch/version.py": source})


def runtimes(root: Path) -> dict[str, Runtime]:
    return {node.id: node for node in collected("runtime", root).nodes(Runtime)}


def test_environment_is_observed(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "native", "1", tag="cp311-cp311-musllinux_1_2_x86_64")
    environment = collected("runtime", tmp_path).node(Environment, "env:release")
    assert environment is not None
    assert (environment.role, environment.found_by) == ("release", ".venv")
    assert (environment.python_version, environment.implementation) == ("3.11.7", "CPython")
    assert environment.platform == "linux_x86_64"
    assert environment.kernel == platform.release()
    assert environment.operating_system


def test_host_is_not_described_without_an_environment(tmp_path: Path) -> None:
    graph = collected("runtime", tmp_path)
    assert not graph.facts
    assert [gap.subject for gap in graph.gaps] == ["env:release"]


def test_unknown_version_of_python_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    (tmp_path / "env" / "Lib" / "site-packages").mkdir(parents=True)
    graph = collected("runtime", tmp_path)
    assert reasons(graph, "env:release", "python_version")


def test_remarks_about_the_environment_are_gaps(tmp_path: Path, site: Path) -> None:
    (site / "hook.pth").write_text("import this\n")
    assert any("hook.pth" in reason for reason in reasons(collected("runtime", tmp_path)))


def test_build_facts_of_torch(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.13.0+cu130", ANNOTATED)
    torch = runtimes(tmp_path)["runtime:torch"]
    assert (torch.version, torch.kind) == ("2.13.0+cu130", "framework")
    assert torch.package == "pkg:pypi/torch@2.13.0%2Bcu130"
    assert torch.build == (
        Pair("cuda", "13.0"),
        Pair("debug", "False"),
        Pair("git_version", "cf30153c4c131c8164ee7798e5022d810682e2cb"),
        Pair("wheel-tag", "cp311-cp311-linux_x86_64"),
    )


def test_cuda_of_torch_is_what_is_known_without_nvidia_wheels(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.0.1", PLAIN)
    graph = collected("runtime", tmp_path)
    cuda = graph.node(Runtime, "runtime:cuda")
    assert cuda is not None
    assert cuda.version == "11.7"
    assert graph.witnesses(cuda, "version")[0].method is Method.INFERRED


def test_build_without_cuda_is_a_gap_with_the_reason(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.13.0+cpu", CPU)
    graph = collected("runtime", tmp_path)
    assert reasons(graph, "runtime:cuda") == ["this torch build has no CUDA"]
    assert graph.node(Runtime, "runtime:cuda") is None


def test_rocm_build(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.13.0+rocm6.4", ROCM)
    assert runtimes(tmp_path)["runtime:rocm"].version == "6.4.43"


def test_version_file_that_contradicts_the_metadata_is_a_gap(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.12.0", ANNOTATED)
    (reason,) = reasons(collected("runtime", tmp_path), "runtime:torch", "version")
    assert "2.13.0+cu130" in reason
    assert "2.12.0" in reason


def test_missing_version_file_is_a_gap(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "torch", "2.13.0")
    assert reasons(collected("runtime", tmp_path), "runtime:torch", "build")


@pytest.mark.parametrize(
    ("wheel", "version", "runtime"),
    [
        ("nvidia-cuda-runtime-cu12", "12.8.90", "runtime:cuda"),
        ("nvidia-cuda-runtime", "13.0.96", "runtime:cuda"),
        ("nvidia-cudnn-cu12", "9.10.2.21", "runtime:cudnn"),
        ("nvidia-cudnn-cu13", "9.19.0.56", "runtime:cudnn"),
        ("nvidia-nccl-cu12", "2.27.3", "runtime:nccl"),
        ("nvidia-cublas-cu12", "12.8.4.1", "runtime:cublas"),
        ("nvidia-cublas", "13.1.0.3", "runtime:cublas"),
        ("nvidia-cuda-nvrtc-cu12", "12.8.93", "runtime:nvrtc"),
        ("nvidia-cusparselt-cu13", "0.8.0", "runtime:cusparselt"),
        ("nvidia-nvshmem-cu12", "3.3.20", "runtime:nvshmem"),
    ],
)
def test_nvidia_wheels_are_native_libraries(
    tmp_path: Path, site: Path, wheel: str, version: str, runtime: str
) -> None:
    write_distribution(site, wheel, version)
    node = runtimes(tmp_path)[runtime]
    assert (node.version, node.kind) == (version, "library")
    assert node.package == f"pkg:pypi/{wheel}@{version}"


def test_other_nvidia_projects_are_not_native_libraries(tmp_path: Path, site: Path) -> None:
    for name in ("nvidia-ml-py", "nvidia-modelopt", "nvidia-pyindex"):
        write_distribution(site, name, "1")
    assert runtimes(tmp_path) == {}


def test_wheel_is_more_exact_than_the_release_torch_was_built_with(
    tmp_path: Path, site: Path
) -> None:
    write_torch(site, "2.13.0+cu130", ANNOTATED)
    write_distribution(site, "nvidia-cuda-runtime", "13.0.96")
    graph = collected("runtime", tmp_path)
    cuda = graph.node(Runtime, "runtime:cuda")
    assert cuda is not None
    assert cuda.version == "13.0.96"
    assert not reasons(graph, "runtime:cuda")


def test_wheel_of_another_cuda_than_torch_was_built_with_is_a_gap(
    tmp_path: Path, site: Path
) -> None:
    write_torch(site, "2.13.0+cu130", ANNOTATED)
    write_distribution(site, "nvidia-cuda-runtime-cu12", "12.8.90")
    (reason,) = reasons(collected("runtime", tmp_path), "runtime:cuda", "version")
    assert "13.0" in reason
    assert "12.8.90" in reason


def test_two_wheels_of_one_library_contradict_each_other(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "nvidia-cudnn-cu11", "8.7.0.84")
    write_distribution(site, "nvidia-cudnn-cu12", "9.10.2.21")
    graph = collected("runtime", tmp_path)
    assert "contradict" in reasons(graph, "runtime:cudnn", "version")[0]


def test_library_files_tell_what_no_wheel_tells(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.0.1", PLAIN)
    (site / "torch" / "lib").mkdir()
    for name in (
        "libcudnn.so.8",
        "libcudnn_ops_infer.so.8",
        "libnvrtc-672ee683.so.11.2",
        "libc10.so",
    ):
        (site / "torch" / "lib" / name).touch()
    found = runtimes(tmp_path)
    assert found["runtime:cudnn"].version == "8"
    assert found["runtime:nvrtc"].version == "11.2"
    assert set(found) == {"runtime:torch", "runtime:cuda", "runtime:cudnn", "runtime:nvrtc"}


def test_wheel_is_believed_over_a_library_file(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.13.0+cu130", ANNOTATED)
    write_distribution(site, "nvidia-cudnn-cu13", "9.19.0.56")
    (site / "torch" / "lib").mkdir()
    (site / "torch" / "lib" / "libcudnn.so.9").touch()
    assert runtimes(tmp_path)["runtime:cudnn"].version == "9.19.0.56"


def test_windows_library_names(tmp_path: Path) -> None:
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    for name in ("cudnn64_9.dll", "cudart64_12.dll", "cudnn_ops64_9.dll", "torch_cpu.dll"):
        (tmp_path / "torch" / "lib" / name).touch()
    assert bundled_libraries(tmp_path) == {"cudnn": "9", "cudart": "12"}


def test_what_is_really_loaded_is_one_gap(tmp_path: Path, site: Path) -> None:
    write_torch(site, "2.13.0+cu130", ANNOTATED)
    write_distribution(site, "nvidia-nccl-cu13", "2.28.1")
    gaps = [g for g in collected("runtime", tmp_path).gaps if g.subject == "runtime:loaded"]
    assert [g.kind for g in gaps] == [GapKind.ABSENT]


def test_only_literals_are_facts(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    source = (
        "a, b = 1, 2\ncuda = '12' + '.8'\nhip: str\ndebug = 7\ngit_version = f'{1}'\n"
        "if True:\n    cuda = '9'\n__version__ = '1'\nlong = '" + "x" * 300 + "'\nx.cuda = '3'\n"
    )
    (tmp_path / "torch" / "version.py").write_text(source)
    assert torch_version_facts(tmp_path) == {"__version__": "1"}
