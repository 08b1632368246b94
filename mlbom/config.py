"""Settings: flag > MLBOM_* variable > mlbom.toml > [tool.mlbom] > default, and who said what."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbom.errors import ConfigurationError, LimitError
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.openfile import read_regular

SettingValue = str | bool | tuple[str, ...]
ORIGIN_FLAG = "flag"
ORIGIN_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in files, its default, what it is for, and the values it can have."""

    name: str
    default: SettingValue
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Return the environment variable that sets it."""
        return "MLBOM_" + self.name.upper().replace("-", "_")


SETTINGS = (
    Setting("model", "", "the model of the release: its path, or its name when there is one only"),
    Setting("weights", (), "weight files that are the model, instead of looking for them"),
    Setting("data", (), "folders and files that are the model's datasets"),
    Setting(
        "data-depth",
        "auto",
        "declared (do not read data), full (hash every file) or auto (full up to 50 GiB)",
        ("declared", "full", "auto"),
    ),
    Setting("output", "mlbom-out", "the directory that generate writes"),
    Setting("runs", (), "records of runs, or folders of them (default: .mlbom/runs)"),
    Setting("grid-gco2-per-kwh", "", "grams of CO2 equivalent of a kWh where the runs ran"),
    Setting("python", "", "the interpreter or prefix of the environment to inspect"),
    Setting("spec", "1.7", "CycloneDX version of the BOM: 1.7 or 1.6", ("1.7", "1.6")),
    Setting(
        "hashes",
        ("sha256",),
        "digests of each file: sha256, sha512, blake3",
        ("sha256", "sha512", "blake3"),
    ),
    Setting("key", "", "URI of the signing key"),
    Setting("release", "", "version of the release"),
    Setting("exclude", (), "patterns of paths below PATH that are left out"),
    Setting("publish-names", False, "publish the names of dataset files"),
    Setting("require-clean", False, "findings (exit 1) when the tree is dirty"),
    Setting("allow-incomplete", False, "end with 0 although something could not be read"),
    Setting("yes", False, "reproduce runs code without asking; a project cannot say it"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
# Variables of mlbom that are no settings.
OTHER_VARIABLES = frozenset({PASSPHRASE_VARIABLE})
# Variables of the project's own Makefile and Action, and those that `mlbom run` sets.
_OUTSIDE = ("MLBOM_ORACLE", "MLBOM_ACTION_", "MLBOM_RECORD_")
_MAX_BYTES = 1024 * 1024
PROJECT_FILES = ("mlbom.toml", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value and where the value came from."""

    values: Mapping[str, SettingValue]
    origins: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a setting that is a text; empty when it is not set."""
        value = self.values[name]
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a setting that is a list of texts."""
        value = self.values[name]
        return value if isinstance(value, tuple) else ()

    def base(self, name: str, root: Path) -> Path:
        """Return the folder that relative paths of a setting are relative to.

        It is the project root for what a file says, else the working directory.
        """
        return root if self.is_from_file(name) else Path.cwd()

    def is_from_file(self, name: str) -> bool:
        """Return whether a file of the project, not the caller, says what a setting is."""
        return self.origins[name].startswith(PROJECT_FILES)

    def flag(self, name: str) -> bool:
        """Return a setting that is a switch."""
        return self.values[name] is True


def find_project_root(path: Path) -> Path:
    """Return the nearest folder upward with mlbom.toml, [tool.mlbom] or .git, else PATH."""
    for folder in (path, *path.parents):
        if (folder / "mlbom.toml").is_file() or (folder / ".git").exists():
            return folder
        if b"[tool.mlbom]" in _bytes_of(folder / "pyproject.toml"):
            return folder
    return path


def find_repository(path: Path) -> Path | None:
    """Return the nearest folder from `path` upward that holds a `.git` of any kind, or None."""
    return next((f for f in (path, *path.parents) if os.path.lexists(f / ".git")), None)


def load_settings(
    root: Path, flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings of a project.

    Args:
        root: the project root (`find_project_root`).
        flags: values given on the command line by setting name; None means not given.
        environment: where MLBOM_* variables are looked up.

    Raises:
        ConfigurationError: a file is not TOML, a key is unknown, a value has the wrong type.
    """
    values: dict[str, SettingValue] = {s.name: s.default for s in SETTINGS}
    origins = dict.fromkeys(values, ORIGIN_DEFAULT)
    for name in reversed(PROJECT_FILES):
        for key, value in _table(root / name).items():
            values[key] = _typed(_BY_NAME[key], value, f"{name}: {_prefix(name)}{key}")
            origins[key] = name if name == "mlbom.toml" else f"{name} [tool.mlbom]"
    for setting in SETTINGS:
        told = environment.get(setting.variable)
        if told is not None:
            values[setting.name] = _from_variable(setting, told)
            origins[setting.name] = setting.variable
        given = flags.get(setting.name)
        if given is not None:
            values[setting.name] = tuple(given) if isinstance(given, list) else given
            origins[setting.name] = ORIGIN_FLAG
        _check_text(setting, values[setting.name], origins[setting.name])
        _check_choice(setting, values[setting.name], origins[setting.name])
    _refuse_unknown(environment)
    return Settings(values, origins)


def _check_text(setting: Setting, value: SettingValue, origin: str) -> None:
    texts = value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
    if any(not text.isprintable() for text in texts):
        message = f"{setting.name} holds a control character"
        raise ConfigurationError(message, looked=[origin])


def _check_choice(setting: Setting, value: SettingValue, origin: str) -> None:
    given = value if isinstance(value, tuple) else (value,)
    wrong = [item for item in given if setting.choices and item not in setting.choices]
    if wrong:
        message = f"{setting.name} is one of {', '.join(setting.choices)}, not {wrong[0]!r}"
        raise ConfigurationError(message, looked=[origin])


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS} | OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith("MLBOM_") and name not in known and not name.startswith(_OUTSIDE):
            near = difflib.get_close_matches(name, known, n=1)
            message = f"unknown variable {name}"
            raise ConfigurationError(message, hint=f"did you mean {near[0]}?" if near else "")


def _prefix(name: str) -> str:
    return "" if name == "mlbom.toml" else "tool.mlbom."


def _bytes_of(path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_BYTES, path.name)
    except (OSError, LimitError):
        return b""


def _table(path: Path) -> Mapping[str, Any]:
    try:
        data = read_regular(path, _MAX_BYTES, path.name)
    except FileNotFoundError:
        return {}
    except (OSError, LimitError) as error:
        message = f"cannot read {path.name}: {error}"
        raise ConfigurationError(message) from error
    if not data or (path.name == "pyproject.toml" and b"tool.mlbom" not in data):
        return {}
    import tomllib

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        message = f"{path.name} is not valid TOML: {error}"
        raise ConfigurationError(message) from error
    table: Any = document
    if path.name != "mlbom.toml":
        tool = document.get("tool")
        table = tool.get("mlbom", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        message = f"tool.mlbom in {path.name} is a table of settings, not {table!r}"
        raise ConfigurationError(message)
    for key in table:
        if key not in _BY_NAME:
            near = difflib.get_close_matches(key, _BY_NAME, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            message = f"unknown setting {_prefix(path.name)}{key} in {path.name}"
            raise ConfigurationError(message, hint=hint)
    return table


def _typed(setting: Setting, value: Any, where: str) -> SettingValue:  # noqa: ANN401 - TOML value
    expected = type(setting.default)
    if expected is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
    elif type(value) is expected:
        return value
    wanted = {tuple: "a list of texts", bool: "true or false"}.get(expected, "a text")
    message = f"{where} takes {wanted}, not {value!r}"
    raise ConfigurationError(message)


def _from_variable(setting: Setting, told: str) -> SettingValue:
    if isinstance(setting.default, tuple):
        return tuple(item for item in (part.strip() for part in told.split(",")) if item)
    if isinstance(setting.default, bool):
        if told.lower() not in ("1", "true", "yes", "0", "false", "no", ""):
            message = f"{setting.variable} takes 1 or 0, not {told!r}"
            raise ConfigurationError(message)
        return told.lower() in ("1", "true", "yes")
    return told
