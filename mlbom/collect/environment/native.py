"""What lies below the packages: the Python itself, the torch build, CUDA, cuDNN and their like."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping

from mlbom.collect.environment.distribution import Damaged, Distribution, installed, wheel_tag
from mlbom.collect.environment.site import Site
from mlbom.collect.environment.torch_build import bundled_libraries, torch_version_facts
from mlbom.collect.scope import Witness
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import Environment, Pair, Runtime
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method

_NVIDIA = re.compile(r"nvidia-(?P<component>[a-z0-9-]+?)-cu\d+")
# Wheels for CUDA 13 lost the suffix; other projects of NVIDIA are named alike.
_NVIDIA_PLAIN = re.compile(
    r"nvidia-(?P<component>cuda-(?:runtime|nvrtc|cupti)|cublas|cufft|curand|cusolver|cusparse"
    r"|cufile|nvjitlink|nvtx|nvshmem|cusparselt|cudnn|nccl)"
)
# Wheels and library files that go by another name than the thing itself.
_PLAIN_NAMES = {
    "cuda-runtime": "cuda",
    "cudart": "cuda",
    "cuda-nvrtc": "nvrtc",
    "cuda-cupti": "cupti",
}
_BUILD_FLAGS = ("cuda", "hip", "rocm", "xpu", "git_version", "debug")


def observe_native(site: Site, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the `Environment` and a `Runtime` for each native layer that files tell of."""
    yield from _environment(site, witness)
    wheels = list(_nvidia(site))
    cuda = next((found.version for name, found in wheels if name == "cuda"), "")
    told = [
        *(_wheel(site, name, found, witness) for name, found in wheels),
        *_torch(site, cuda, witness),
    ]
    yield from told
    if any(isinstance(item, Observation) for item in told):
        reason = "which native libraries a process really loads only a recorded run can tell"
        yield witness.misses("runtime:loaded", reason)


def _environment(site: Site, witness: Witness) -> Iterator[Observation | Gap]:
    known = site.python_version != "0"
    node = Environment(
        id=site.id,
        role=site.role,
        found_by=site.found_by,
        python_version=site.python_version if known else None,
        implementation=site.implementation,
        platform=site.platform_tag,
    )
    yield witness.observes(node)
    if not known:
        reason = "no file of the environment tells the version of its Python"
        yield witness.misses(site.id, reason, field="python_version")
    for remark in site.remarks:
        yield witness.misses(site.id, remark)
    host = Environment(
        id=site.id,
        role=site.role,
        operating_system=_operating_system(),
        kernel=platform.release() or None,
    )
    yield witness.by(Method.MEASURED).observes(host, key="host")


def _operating_system() -> str | None:
    """Return the name of this host's operating system (os-release(5) where there is one)."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME") or platform.system() or None
    except OSError:
        return f"{platform.system()} {platform.version()}".strip() or None


def _first(site: Site, prefix: str) -> Mapping[str, Distribution]:
    """Return the importable distributions whose metadata folder's name begins so, by name."""
    found: dict[str, Distribution] = {}
    for item in installed(site.paths, lambda folder: folder.startswith(prefix)):
        if not isinstance(item, Damaged):
            found.setdefault(item.key, item)
    return found


def _nvidia(site: Site) -> Iterator[tuple[str, Distribution]]:
    """Yield the libraries that NVIDIA publishes as wheels, each with the wheel installed."""
    for key, found in sorted(_first(site, "nvidia").items()):
        match = _NVIDIA.fullmatch(key) or _NVIDIA_PLAIN.fullmatch(key)
        if match:
            yield _PLAIN_NAMES.get(match["component"], match["component"]), found


def _wheel(site: Site, name: str, found: Distribution, witness: Witness) -> Observation:
    node = _library(site, name, found.version, found.purl)
    return witness.at(f"{found.shown}/METADATA").observes(node)


def _torch(site: Site, cuda_wheel: str, witness: Witness) -> Iterator[Observation | Gap]:
    found = _first(site, "torch-").get("torch")
    if found is None:
        return
    witness = witness.at("torch/version.py")
    try:
        facts = torch_version_facts(found.folder.parent)
        tag = wheel_tag(found)
    except UnreadableError as error:
        yield witness.cannot_read("runtime:torch", error)
        return
    build = [Pair(name, str(facts[name])) for name in _BUILD_FLAGS if facts.get(name) is not None]
    version = facts.get("__version__")
    yield witness.observes(
        Runtime(
            id="runtime:torch",
            name="torch",
            version=version if isinstance(version, str) else None,
            kind="framework",
            build=(*build, *((Pair("wheel-tag", tag),) if tag else ())),
            package=found.purl,
            environments=(site.id,),
        )
    )
    if not facts:
        reason = "torch/version.py, which tells how torch was built, is missing or says nothing"
        yield witness.misses("runtime:torch", reason, field="build", kind=GapKind.ABSENT)
        return
    if isinstance(version, str) and version != found.version:
        reason = f"torch/version.py says {version}, the installed metadata {found.version}"
        yield witness.misses("runtime:torch", reason, field="version")
    yield from _accelerated(site, facts, cuda_wheel, witness)
    yield from _bundled(site, found, witness)


def _accelerated(
    site: Site, facts: Mapping[str, str | bool | None], wheel: str, witness: Witness
) -> Iterator[Observation | Gap]:
    """Yield what torch says of the CUDA or ROCm that it was built with.

    Args:
        site: the environment.
        facts: of `torch/version.py`.
        wheel: version of the CUDA runtime that is installed as a wheel, empty when there is none.
        witness: the reader of `torch/version.py`.
    """
    cuda, hip = facts.get("cuda"), facts.get("hip")
    if isinstance(hip, str):
        yield witness.observes(_library(site, "rocm", hip))
    if not isinstance(cuda, str):
        told = "this torch build has no CUDA" if "cuda" in facts else "torch does not tell its CUDA"
        yield witness.misses("runtime:cuda", told)
        return
    # A wheel's own version is more exact than the release that torch was built with.
    yield witness.by(Method.INFERRED).observes(_library(site, "cuda", cuda), key="cuda")
    if wheel and not f"{wheel}.".startswith(f"{cuda}."):
        reason = f"torch was built with CUDA {cuda}, and the runtime of CUDA {wheel} is installed"
        yield witness.misses("runtime:cuda", reason, field="version")


def _bundled(site: Site, found: Distribution, witness: Witness) -> Iterator[Observation]:
    for library, version in sorted(bundled_libraries(found.folder.parent).items()):
        name = _PLAIN_NAMES.get(library, library)
        if name == "cuda":
            continue
        node = _library(site, name, version, found.purl)
        yield witness.at("torch/lib").by(Method.INFERRED).observes(node, key="file name")


def _library(site: Site, name: str, version: str, package: str | None = None) -> Runtime:
    return Runtime(
        id=f"runtime:{name}",
        name=name,
        version=version,
        kind="library",
        package=package,
        environments=(site.id,),
    )
