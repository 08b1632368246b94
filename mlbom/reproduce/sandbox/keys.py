"""Where keys, tokens and the sockets of agents lie that no training needs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Below a home folder. Settings without secrets in them stay readable.
_AT_HOME = tuple(
    (
        ".ssh .gnupg .aws .azure .kube .docker .netrc .git-credentials .pypirc .npmrc .kaggle"
        " .huggingface .vault-token .password-store .databrickscfg .boto .s3cfg .pgpass .my.cnf"
        " .modal.toml .config/mlbom .config/gcloud .config/gh .config/hub .config/git/credentials"
        " .config/kaggle .config/rclone .config/wandb .config/sops .config/op .config/doctl"
        " .cache/huggingface/token .cache/huggingface/stored_tokens .local/share/keyrings"
        " .local/share/mlbom"
    ).split()
)
# Variables that name such a place, and what lies below it.
_NAMED = {
    "AWS_CONFIG_FILE": "",
    "AWS_SHARED_CREDENTIALS_FILE": "",
    "AZURE_CONFIG_DIR": "",
    "CLOUDSDK_CONFIG": "",
    "DOCKER_CONFIG": "",
    "GH_CONFIG_DIR": "",
    "GNUPGHOME": "",
    "GOOGLE_APPLICATION_CREDENTIALS": "",
    "HF_HOME": "token stored_tokens",
    "HF_TOKEN_PATH": "",
    "KAGGLE_CONFIG_DIR": "",
    "NETRC": "",
    "NPM_CONFIG_USERCONFIG": "",
    "PIP_CONFIG_FILE": "",
    "SSH_AUTH_SOCK": "",
    "XDG_CONFIG_HOME": "mlbom gcloud gh hub kaggle rclone wandb sops op git/credentials",
    # Sockets of the agents that hold unlocked keys, and of the bus that starts programs outside.
    "XDG_RUNTIME_DIR": "",
}
_SEVERAL = ("KUBECONFIG",)
_SYSTEM = (
    "/run/docker.sock",
    "/run/containerd",
    "/run/crio",
    "/run/podman",
    "/run/dbus",
    "/run/pcscd",
    "/run/secrets",
    "/run/credentials",
    "/run/systemd/private",
    "/var/run/secrets",
)


def find_keys(environment: Mapping[str, str], extra: Iterable[Path] = ()) -> list[str]:
    """Return what is there of them: absolute paths, links resolved, none inside another.

    Args:
        environment: the caller's variables, which may name some.
        extra: further ones.
    """
    places = [*_at_home(environment), *_named(environment), *_SYSTEM, *map(os.fspath, extra)]
    if hasattr(os, "getuid"):
        places.append(f"/run/user/{os.getuid()}")
    found = {os.path.realpath(place) for place in places if os.path.isabs(place)}
    present = sorted(place for place in found if os.path.exists(place))
    kept: list[str] = []
    for place in present:
        if not any(place.startswith(os.path.join(outer, "")) for outer in kept):
            kept.append(place)
    return kept


def _at_home(environment: Mapping[str, str]) -> Iterator[str]:
    for home in _homes(environment):
        for name in _AT_HOME:
            yield os.path.join(home, name)


def _homes(environment: Mapping[str, str]) -> set[str]:
    """Return the home folders of this user, and of the one who became root."""
    homes = {environment.get("HOME", "")}
    try:
        import pwd

        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
        if os.getuid() == 0:
            homes.add(pwd.getpwnam(environment.get("SUDO_USER", "")).pw_dir)
    except (ImportError, KeyError):
        pass
    return {home for home in homes if os.path.isabs(home) and home != os.sep}


def _named(environment: Mapping[str, str]) -> Iterator[str]:
    for name, below in _NAMED.items():
        if value := environment.get(name):
            yield from (os.path.join(value, part) for part in below.split() or ("",))
    for name in _SEVERAL:
        yield from filter(None, environment.get(name, "").split(os.pathsep))
