"""What never belongs to a model tree: the versioned ignore list of manifest, OMS and verify alike.

`verify` uses its own copy of this list and reports what it skipped: a statement cannot widen it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

VERSION = 1
# Root-relative path prefixes, in every model root.
ALWAYS = (
    ".git",
    ".gitattributes",
    ".gitignore",
    ".github",
    ".cache/huggingface",
    ".mlbom",
    "mlbom-out",
)
# At the root of a model directory: what a release adds there. `verify` compares these with the
# digests of the closing statement instead.
RELEASE_FILES = ("README.md", "model.sig", ".eval_results", "img", "mlbom")
# A folder of this name is left out wherever it lies; statements list each one by its path.
CACHE_FOLDER = "__pycache__"


@dataclass(frozen=True, slots=True)
class IgnoreList:
    """Root-relative prefixes that a walk leaves out.

    Args:
        prefixes: POSIX paths relative to the root; each covers itself and what lies below it.
    """

    prefixes: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Return whether a root-relative POSIX path is left out."""
        if path == CACHE_FOLDER or path.endswith("/" + CACHE_FOLDER):
            return True
        return any(path == p or path.startswith(p + "/") for p in self.prefixes)


def ignore_list(*, model_directory: bool, extra: Iterable[str] = ()) -> IgnoreList:
    """Return the ignore list of a model root.

    Args:
        model_directory: whether the root is a model directory (chain.md section 1).
        extra: further prefixes, such as the output directory when it lies inside the root.
    """
    own = RELEASE_FILES if model_directory else ()
    return IgnoreList(tuple(sorted({*ALWAYS, *own, *extra})))
