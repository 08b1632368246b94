"""Which files are the system's, the interpreter's or a program's own, and so nobody's input."""

import os
from collections.abc import Iterable, Mapping

SYSTEM_FOLDERS = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/opt/homebrew",
    "/opt/rocm",
    "/proc",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
    "/Library",
    "/System",
)
# Places in them that hold data of users all the same.
_DATA_FOLDERS = ("/dev/shm/", "/run/media/", "/run/user/", "/usr/local/share/")  # noqa: S108
_SYSTEM_FILES = frozenset({"/.dockerenv"})
# Folders of packages, compiled sources and repositories, wherever they lie.
_OWN_NAMES = frozenset({"site-packages", "dist-packages", "__pycache__", ".git", ".mlbom"})
# Below the home directory: settings and credentials of programs. `.cache` is not among them: models
# and data sets that a step reads lie there.
_SETTINGS = tuple(
    (
        ".aws .azure .bash_history .bash_logout .bash_profile .bashrc .cache/Microsoft"
        " .cache/fontconfig"
        " .cache/huggingface/stored_tokens .cache/huggingface/token .cache/matplotlib .cache/pip"
        " .cache/uv .conda .condarc .config .docker .git-credentials .gitconfig .gnupg .ipython"
        " .jupyter .kaggle .kube .local/lib .local/share/jupyter .netrc .npmrc .nv .pip .profile"
        " .pypirc .python_history .ssh .triton .zshenv .zshrc"
    ).split()
)
# Variables that name folders in which programs keep what they can make or fetch again.
_CACHE_VARIABLES = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_HOME",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)
_COMPILER_CACHE = "torchinductor_"


class OwnFiles:
    """Tells a step's files from those of the system, the interpreter and its packages.

    Args:
        root: the project's folder, links resolved.
        prefixes: folders of the interpreters that took part.
        environment: variables of the step.
    """

    def __init__(self, root: str, prefixes: Iterable[str], environment: Mapping[str, str]) -> None:
        self._root = os.path.join(root, "")
        self._folders = outside_of(root, (*SYSTEM_FOLDERS, *prefixes))
        home = environment.get("HOME") or os.path.expanduser("~")
        self._home = os.path.join(home, "") if os.path.isabs(home) else "\0"
        settings = [os.path.join(home, name) for name in _SETTINGS]
        self._settings = (*settings, *(os.path.join(name, "") for name in settings))
        caches = [environment[name] for name in _CACHE_VARIABLES if environment.get(name)]
        self._caches = outside_of(root, filter(os.path.isabs, caches))

    def holds(self, path: str) -> bool:
        """Return whether a file is none of the step's inputs."""
        if not _OWN_NAMES.isdisjoint(path.split(os.sep)):
            return True
        if path.startswith(self._folders) and not path.startswith(_DATA_FOLDERS):
            return True
        if path.startswith(self._root):
            return False
        return (
            path in _SYSTEM_FILES
            or path in self._settings
            or path.startswith(self._settings[len(_SETTINGS) :])
        )

    def is_cached(self, path: str) -> bool:
        """Return whether a file outside of the project is what programs keep for themselves."""
        if path.startswith(self._root):
            return False
        if path.startswith(self._home) and path[len(self._home) :].startswith("."):
            return True
        return path.startswith(self._caches) or f"{os.sep}{_COMPILER_CACHE}" in path


def skipped_folders(root: str) -> tuple[str, ...]:
    """Return folders, each ending with a separator, below which no file is an input.

    These are for the recorder in the command to pass over at once; `OwnFiles` knows more of them.
    """
    found: list[str] = []
    waiting = list(SYSTEM_FOLDERS)
    while waiting:
        folder = os.path.join(waiting.pop(), "")
        if not any(data.startswith(folder) for data in _DATA_FOLDERS):
            found.append(folder)
        elif folder.startswith("/usr/") and folder not in _DATA_FOLDERS:
            waiting += _folders_in(folder)
    return outside_of(root, found)


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return []


def outside_of(root: str, folders: Iterable[str]) -> tuple[str, ...]:
    """Return the folders, each ending with a separator, in which `root` does not itself lie."""
    inside = os.path.join(root, "")
    named = dict.fromkeys(os.path.join(folder, "") for folder in folders if folder)
    return tuple(folder for folder in named if not inside.startswith(folder))
