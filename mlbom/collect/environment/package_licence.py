"""The licence of an installed distribution: what it declares, else what its licence text is."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.collect.environment.distribution import Distribution
from mlbom.collect.environment.sitefiles import list_folder
from mlbom.collect.licence_texts import identify_text
from mlbom.errors import UnreadableError

_LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying)(?:[._-].*)?", re.IGNORECASE)
_MAX_EXPRESSION = 1000
_MAX_TEXT = 64 * 1024
_MAX_FILES = 16
_PREFIX = "License :: "
_OSI = "OSI Approved :: "
# Trove classifiers that mean one licence. Those that name a family (BSD License, GPL without a
# version, ...) are left out, and the text decides.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CEA CNRS Inria Logiciel Libre License, version 2.1 (CeCILL-2.1)": "CECILL-2.1",
    "CMU License (MIT-CMU)": "MIT-CMU",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.0 (MPL)": "MPL-1.0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Mulan Permissive Software License v2 (MulanPSL-2.0)": "MulanPSL-2.0",
    "Python License (CNRI Python License)": "CNRI-Python",
    "Python Software Foundation License": "PSF-2.0",
    "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "zlib/libpng License": "Zlib",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Other/Proprietary License": "LicenseRef-Proprietary",
    "Public Domain": "LicenseRef-Public-Domain",
}


@dataclass(frozen=True, slots=True)
class Licence:
    """An SPDX licence expression and how it is known.

    Args:
        expression: canonical SPDX expression; empty when the licence is not known.
        source: `License-Expression`, `License`, `classifier` or `text`.
        reason: why it is not known, else empty.
    """

    expression: str = ""
    source: str = ""
    reason: str = ""


def find_licence(distribution: Distribution) -> Licence:
    """Return the licence of a distribution, from the strongest statement that can be understood.

    The order is: `License-Expression` (PEP 639), a `License` field that is an SPDX expression, the
    licence classifiers, the licence text.
    """
    for header in ("License-Expression", "License"):
        expression = spdx_expression(distribution.one(header.lower()))
        if expression:
            return Licence(expression, header)
    named = _classifiers(distribution)
    meant = {_CLASSIFIERS.get(name, "") for name in named}
    if len(meant) == 1 and "" not in meant:
        return Licence(meant.pop(), "classifier")
    identified = set(_identified(distribution))
    if len(identified) == 1 and None not in identified:
        return Licence(str(identified.pop()), "text")
    return Licence(reason=_reason(distribution, named))


def spdx_expression(text: str) -> str:
    """Return the canonical form of an SPDX licence expression, empty when the text is none."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not text or len(text) > _MAX_EXPRESSION:
        return ""
    try:
        return str(canonicalize_license_expression(text))
    except (InvalidLicenseExpression, SyntaxError, RecursionError, MemoryError):
        return ""


def _classifiers(distribution: Distribution) -> list[str]:
    told = (c.removeprefix(_PREFIX) for c in distribution.many("classifier") if _is_licence(c))
    return sorted({name.removeprefix(_OSI) for name in told if name != "OSI Approved"})


def _is_licence(classifier: str) -> bool:
    return classifier.startswith(_PREFIX)


def _identified(distribution: Distribution) -> Iterator[str | None]:
    """Yield what each licence text is: of the files beside the metadata, else of the License field.

    Licences of bundled code lie in folders below and are not the distribution's own.
    """
    found = False
    for place in ("", "licenses/"):
        names = list_folder(distribution.folder / place)
        for name in [n for n in names if _LICENCE_FILE.fullmatch(n)][:_MAX_FILES]:
            if os.path.isdir(distribution.folder / place / name):
                continue
            found = True
            yield _identify_file(distribution, place + name)
    if not found:
        yield identify_text(distribution.one("license"))


def _identify_file(distribution: Distribution, name: str) -> str | None:
    try:
        data = distribution.read(name, _MAX_TEXT) or b""
    except UnreadableError:
        return None
    return identify_text(data.decode("utf-8-sig", errors="replace"))


def _reason(distribution: Distribution, classifiers: list[str]) -> str:
    declared = distribution.one("license").split("\n", 1)[0][:80]
    unknown = [name for name in classifiers if name not in _CLASSIFIERS]
    if len(classifiers) > 1:
        listed = ", ".join(classifiers)
        return f"its classifiers name several licences ({listed}) and not how they combine"
    if unknown:
        return f"its classifier {unknown[0]!r} names a family of licences, and no text tells which"
    if declared:
        return f"its licence field {declared!r} is no SPDX expression, and no text tells more"
    return "it declares no licence, and no licence text was recognised"
