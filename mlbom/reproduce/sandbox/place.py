"""Where a training runs again, as far as one run may differ from another."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a training must not depend on, and may all the same.

    Two runs with equal places have equal paths, homes and variables.

    Args:
        name: of the project's folder; empty for the name that it has.
        home: of the home folder; empty for `home`.
        locale: LANG and LC_ALL; empty for the caller's.
        tz: TZ; empty for the caller's.
        hash_seed: PYTHONHASHSEED; empty for the caller's.
        variables: further variables, over all others.
        gpu: index of the only GPU that is shown, or None.
        wrapper: a command that starts the command, such as `taskset -c 0`.
    """

    name: str = ""
    home: str = ""
    locale: str = ""
    tz: str = ""
    hash_seed: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    gpu: int | None = None
    wrapper: tuple[str, ...] = ()
