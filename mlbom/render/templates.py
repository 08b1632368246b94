"""Jinja2 templates: where they lie, the sandbox they run in, the digest that identifies them."""

import hashlib
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbom.digest.cache import cache_folder
from mlbom.evidence.digest import Digest

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_UNIT = 1024
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#+!|~>])")


def template_folder() -> Path:
    """Return the folder of templates: packed beside this package, or at the top of a checkout."""
    package = Path(__file__).parent.parent
    packed = package / "templates"
    return packed if packed.is_dir() else package.parent / "templates"


@cache
def templates_digest() -> Digest:
    """Return the SHA-256 over the names and contents of all templates."""
    hasher = hashlib.sha256()
    for path in sorted(template_folder().iterdir()):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hasher.update(f"{content}  {path.name}\n".encode())
    return Digest("sha256", hasher.hexdigest())


def render_template(name: str, **context: Any) -> str:  # noqa: ANN401 - what the template reads
    """Return a template filled in; HTML templates escape every value by themselves."""
    return _environment().get_template(name).render(**context)


def markdown_text(text: object) -> str:
    """Return text that Markdown shows literally, on one line."""
    plain = " ".join(str(text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;")
    return _MARKDOWN.sub(r"\\\1", plain).replace("://", ":&#8203;//")


def human_bytes(nbytes: int) -> str:
    """Return a size in bytes for a person, in binary units."""
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _UNIT:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _UNIT
    return f"{size:.1f} TiB"


@cache
def _environment() -> "ImmutableSandboxedEnvironment":
    from jinja2 import FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    folder = _bytecode_folder()
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(template_folder()),
        bytecode_cache=FileSystemBytecodeCache(str(folder), "%s.jinja") if folder else None,
        autoescape=lambda name: bool(name) and ".html" in str(name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    environment.filters["nbytes"] = human_bytes
    return environment


def _bytecode_folder() -> Path | None:
    """Return where compiled templates are kept, like __pycache__: a folder only this user writes.

    Compiling costs more than all other rendering. A compiled template is used only while its source
    is the same; without such a folder templates are compiled each time.
    """
    folder = cache_folder() / "templates"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    owned = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return folder if owned and not status.st_mode & 0o022 else None
