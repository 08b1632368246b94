"""The patterns of a policy: `*` stands for any text, `?` for one character, all else for itself."""

import re
from functools import lru_cache


def matches(pattern: str, text: str) -> bool:
    """Return whether a whole text fits a pattern; `*` reaches over slashes, as in-toto's does.

    Each part between stars is taken where it is found first, which never misses a fit. So the time
    is at most the product of the two lengths, whatever a stranger wrote into the text.
    """
    head, *middle = (_compiled(part) for part in pattern.split("*"))
    if not middle:
        return bool(head.fullmatch(text))
    tail = middle.pop()
    begin = head.match(text)
    if begin is None:
        return False
    place = begin.end()
    for part in middle:
        found = part.search(text, place)
        if found is None:
            return False
        place = found.end()
    rest = len(text) - len(pattern.rpartition("*")[2])
    return rest >= place and bool(tail.fullmatch(text, rest))


@lru_cache(maxsize=4096)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(re.escape(part).replace(r"\?", "."), re.DOTALL)
