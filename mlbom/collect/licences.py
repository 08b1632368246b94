"""Licence names as people write them -> SPDX licence expressions, or nothing."""

import re

# The Hub's licence names that are no SPDX identifiers in another case, and what they mean.
_HUB_NAMES = {
    "apache2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "gpl-3.0": "GPL-3.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "agpl-3.0": "AGPL-3.0-only",
    "gfdl": "GFDL-1.3-only",
}
# Licences of models and data that SPDX does not list, and the Hub's names for whole families of
# licences; a LicenseRef says so without guessing (SPDX 2.3 annex D).
_MODEL_LICENCES = re.compile(
    r"(openrail(\+\+)?|(big(science|code)-)?(bloom-rail-1\.0|openrail-m|rail)"
    r"|creativeml-openrail-m|llama[0-9.]*|gemma|deepfloyd-if-license|bsd|l?gpl|cc|pddl)"
)


def licence_expression(text: str) -> str | None:
    """Return the canonical SPDX expression for a licence name or expression, or None.

    A licence that is known but not on the SPDX list becomes `LicenseRef-NAME`; "other" and
    "unknown" are None, because they say nothing.

    Args:
        text: for example `apache-2.0`, `MIT OR Apache-2.0`, `openrail`.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    plain = " ".join(text.split())
    lowered = plain.lower()
    wanted = _HUB_NAMES.get(lowered, plain)
    if not wanted or lowered in ("other", "unknown"):
        return None
    if _MODEL_LICENCES.fullmatch(lowered):
        return f"LicenseRef-{lowered.replace('+', 'p')}"
    try:
        return str(canonicalize_license_expression(wanted))
    except InvalidLicenseExpression:
        return None
