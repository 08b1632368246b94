"""Settings: who wins, and what a wrong one is told."""

from pathlib import Path

import pytest

from mlbom.config import SETTINGS, find_project_root, load_settings
from mlbom.errors import ConfigurationError


def test_flag_beats_variable_beats_files_beats_default(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.mlbom]\nspec = "1.6"\nrelease = "1"\nmodel="m"')
    (tmp_path / "mlbom.toml").write_text('release = "2"\nmodel = "n"\n')
    settings = load_settings(tmp_path, {"model": "flag"}, {"MLBOM_RELEASE": "3"})
    told = {s.name: (settings.text(s.name), settings.origins[s.name]) for s in SETTINGS}
    assert told["model"] == ("flag", "flag")
    assert told["release"] == ("3", "MLBOM_RELEASE")
    assert told["spec"] == ("1.6", "pyproject.toml [tool.mlbom]")
    assert told["output"] == ("mlbom-out", "default")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('relase = "1"', "unknown setting relase in mlbom.toml", "did you mean 'release'?"),
        ("release = 1", "release takes a text, not 1", ""),
        ("publish-names = 'yes'", "publish-names takes true or false", ""),
        ("data = [1]", "data takes a list of texts", ""),
        ("release = ", "not valid TOML", ""),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "mlbom.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_settings(tmp_path, {}, {})
    if hint:
        assert caught.value.hint == hint


def test_variables_of_every_type(tmp_path: Path) -> None:
    environment = {"MLBOM_DATA": "a, b", "MLBOM_REQUIRE_CLEAN": "1", "MLBOM_PUBLISH_NAMES": "no"}
    settings = load_settings(tmp_path, {}, environment)
    assert settings.texts("data") == ("a", "b")
    assert settings.flag("require-clean")
    assert not settings.flag("publish-names")
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {}, {"MLBOM_REQUIRE_CLEAN": "maybe"})


@pytest.mark.parametrize("mark", ["mlbom.toml", ".git", "pyproject.toml"])
def test_the_project_root_is_the_nearest_marked_folder(tmp_path: Path, mark: str) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / mark).write_text("[tool.mlbom]\n" if mark == "pyproject.toml" else "")
    assert find_project_root(inner) == tmp_path / "a"
    assert find_project_root(tmp_path / "a") == tmp_path / "a"
