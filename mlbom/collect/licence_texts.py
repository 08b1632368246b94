"""Which licence a licence text is: by its whole wording, so that an added condition is noticed."""

import hashlib
import re

_MAX_TEXT = 64 * 1024
# Lines of a notice that differ from project to project and grant or forbid nothing.
_COPYRIGHT = re.compile(
    r"\W*(?:portions )?copyright\b.*(?:\(c\)|©|\d{4})|\W*\(c\) .*\d{4}", re.IGNORECASE
)
_GRANTING = re.compile(r"\b(?:use[drs]?|commercial\w*|permi\w+|prohibit\w*)\b", re.IGNORECASE)
_RESERVED = re.compile(r"\W*all rights reserved\W*", re.IGNORECASE)
# What may stand before the text: a title of few words, none of which narrows or widens it.
_MAX_TITLE = 30
_NARROWING = re.compile(
    r"\b(?:or|either|dual|dually|except|under|unless|portions|parts?|some|files?|following|third"
    r"|party|see|additional|addition|commons|terms|not|only)\b"
)

_AS_IS = "the software is provided as is "
_MIT_GRANT = (
    "permission is hereby granted free of charge to any person obtaining a copy of this software"
    " and associated documentation files the software to deal in the software without restriction"
    " including without limitation the rights to use copy modify merge publish distribute"
    " sublicense and or sell copies of the software and to permit persons to whom the software is"
    " furnished to do so "
)
_MIT_NOTICE = (
    "subject to the following conditions the above copyright notice and this permission notice"
    "(?: including the next paragraph)? shall be included in all copies or substantial portions of"
    " the software "
)
_MIT_WARRANTY = (
    _AS_IS + "without warranty of any kind express or implied including but not limited to the"
    " warranties of merchantability fitness for a particular purpose and non ?infringement in no"
    " event shall the authors or copyright holders be liable for any claim damages or other"
    " liability whether in an action of contract tort or otherwise arising from out of or in"
    " connection with the software or the use or other dealings in the software"
)
_ITEM = "(?:[0-9a-c] )?"
_BSD_GRANT = (
    "redistribution and use in source and binary forms with or without modification are permitted"
    f" provided that the following conditions are met {_ITEM}redistributions of source code must"
    " retain the above copyright notice this list of conditions and the following disclaimer"
    f" {_ITEM}redistributions in binary form must reproduce the above copyright notice this list of"
    " conditions and the following disclaimer in the documentation and or other materials provided"
    " with the distribution "
)
_BSD_NAMES = (
    f"{_ITEM}(?:neither )?the names? (?:of )?.{{1,120}}? may (?:not )?be used to endorse or promote"
    " products derived from this software without specific prior written permission "
)
_BSD_WARRANTY = (
    "this software is provided by .{1,120}? as is and any express or implied warranties including"
    " but not limited to the implied warranties of merchantability and fitness for a particular"
    " purpose are disclaimed in no event shall .{1,120}? be liable for any direct indirect"
    " incidental special exemplary or consequential damages including but not limited to"
    " procurement of substitute goods or services loss of use data or profits or business"
    " interruption however caused and on any theory of liability whether in contract strict"
    " liability or tort including negligence or otherwise arising in any way out of the use of this"
    " software even if advised of the possibility of such damage"
)
_ISC_GRANT = (
    "permission to use copy modify and (?:or )?distribute this software for any purpose with or"
    " without fee is hereby granted "
)
_ISC_NOTICE = (
    "provided that the above copyright notice and this permission notice appear in all copies "
)
_ISC_WARRANTY = (
    _AS_IS + "and .{1,60}? disclaims? all warranties with regard to this software including all"
    " implied warranties of merchantability and fitness in no event shall .{1,60}? be liable for"
    " any special direct indirect or consequential damages or any damages whatsoever resulting from"
    " loss of use data or profits whether in an action of contract negligence or other tortious"
    " action arising out of or in connection with the use or performance of this software"
)
# Short licences, word for word, with room for the names that each project puts in.
_WORDINGS = (
    ("MIT", _MIT_GRANT + _MIT_NOTICE + _MIT_WARRANTY),
    ("MIT-0", _MIT_GRANT + _MIT_WARRANTY),
    ("BSD-3-Clause", _BSD_GRANT + _BSD_NAMES + _BSD_WARRANTY),
    ("BSD-2-Clause", _BSD_GRANT + _BSD_WARRANTY),
    ("ISC", _ISC_GRANT + _ISC_NOTICE + _ISC_WARRANTY),
    ("0BSD", _ISC_GRANT + _ISC_WARRANTY),
)
# Long licences: their first and last words, and SHA-256 digests of the words from the one to the
# other (some copies link to https instead of http).
_APPENDIX = "(?: appendix how to apply the apache license to your work .{0,1200})?"
_FINGERPRINTS = (
    (
        "Apache-2.0",
        "apache license version 2 0 january 2004 .* end of terms and conditions",
        _APPENDIX,
        (
            "f45538b138cf9aea39fa205de037a0bede8305e68281650e7ab809a8b3ebb2f0",
            "ed44d69699f98d45c0c3e52ef4574fb05d6045eb6e2cd0e5e3810f6177e87f84",
        ),
    ),
    (
        "MPL-2.0",
        "mozilla public license version 2 0 .* defined by the mozilla public license v 2 0",
        "",
        ("f82071285728ca3ec7685ee9bc4acdae0b8267142a4d20b8f1805eabedb4a98a",),
    ),
    (
        "BSL-1.0",
        "boost software license version 1 0 .* dealings in the software",
        "",
        ("5fcf89bde8c0c2deb999f4cc626e1aebf90e80fdc5cd334dae008152ef4a1ded",),
    ),
    (
        "Unlicense",
        "this is free and unencumbered software .* please refer to https?(?: www)? unlicense org",
        "",
        ("fd1b07be5f4f94926b6ea4df3943b05ab90c1a1f3b1a3d574ae7ab58bca58fff",),
    ),
    (
        "CC0-1.0",
        "creative commons legal code cc0 1 0 universal .* this cc0 or use of the work",
        "",
        ("96bdc7f63190fb4bd1ae584b890300ed7517d858b34c945642a3b9b2f1612a5f",),
    ),
)


def identify_text(text: str) -> str | None:
    """Return the SPDX identifier of a text that is one known licence and nothing else, or None.

    Compared are the words, without case, punctuation, line breaks and copyright lines. A text that
    holds a second licence, or one condition more, is not identified. The GNU licences are left
    out: their text does not tell "only" from "or later".
    """
    if len(text) > _MAX_TEXT:
        return None
    lines = (line for line in text.splitlines() if not _is_notice(line))
    words = " ".join(re.findall(r"[a-z0-9]+", " ".join(lines).lower()))
    return _by_wording(words) or _by_fingerprint(words)


def _is_notice(line: str) -> bool:
    if _RESERVED.fullmatch(line):
        return True
    return bool(_COPYRIGHT.match(line)) and not _GRANTING.search(line)


def _by_wording(words: str) -> str | None:
    for name, wording in _WORDINGS:
        start = wording.split("(?:", 1)[0]
        at = words.find(start)
        if at >= 0 and _is_title(words[:at]) and re.fullmatch(wording, words[at:]):
            return name
    return None


def _by_fingerprint(words: str) -> str | None:
    for name, stretch, tail, digests in _FINGERPRINTS:
        found = re.search(f"({stretch}){tail}$", words)
        if not found or not _is_title(words[: found.start()]):
            continue
        if hashlib.sha256(found[1].encode()).hexdigest() in digests:
            return name
    return None


def _is_title(words: str) -> bool:
    narrowed = _NARROWING.search(words) or _GRANTING.search(words)
    return len(words.split()) <= _MAX_TITLE and not narrowed
