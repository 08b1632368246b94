"""What the program fetches from the network by itself: next time it may be something else."""
# ruff: noqa: INP001
# mypy: disable-error-code="import-not-found"

import os

from _mlbom_events import calling_line, tell
from _mlbom_wrap import argument, before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_OWN = (os.path.join("requests", "api.py"), os.path.join("requests", "sessions.py"))


def after_urllib(module: "ModuleType") -> None:
    """Follow `urllib.request.urlopen`, and what stands on it."""

    def note(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        url = argument(args, kwargs, 0, "url")
        url = getattr(url, "full_url", url)
        tell("download", "urllib.request.urlopen", _plain(str(url)), calling_line())

    before(module, "urlopen", note)


def after_requests(module: "ModuleType") -> None:
    """Follow every request of a session."""
    sessions: Any = module

    def note(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        url = str(argument(args, kwargs, 2, "url"))
        tell("download", "requests", _plain(url), calling_line(library=_OWN))

    before(sessions.Session, "request", note)


def _plain(url: str) -> str:
    """Return an address without what may be secret in it: user, query and fragment."""
    scheme, colon, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    path = path.partition("?")[0].partition("#")[0]
    return scheme + colon + host.rpartition("@")[2].partition("?")[0] + slash + path
