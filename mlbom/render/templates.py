"""Jinja2 templates: where they lie, the sandbox they run in, and the digest that identifies them."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbom.evidence.digest import Digest

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~>])")


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
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@cache
def _environment() -> "ImmutableSandboxedEnvironment":
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(template_folder()),
        autoescape=lambda name: bool(name) and ".html" in str(name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    environment.filters["nbytes"] = human_bytes
    return environment
