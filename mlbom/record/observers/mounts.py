"""The mounted file systems that hold files, as this process sees them."""

import re
from dataclasses import dataclass

# File systems of the kernel's own making: what they show is not data that a step could hand on.
_PSEUDO = frozenset(
    """autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl
    hugetlbfs mqueue nsfs proc pstore ramfs rpc_pipefs securityfs selinuxfs sysfs tracefs""".split()
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system: `major:minor` of its device, one place where it is mounted, its type."""

    device: str
    path: str
    kind: str


def real_mounts(mountinfo: str = "/proc/self/mountinfo") -> list[Mount]:
    """Return each file system that holds files once.

    Source: proc_pid_mountinfo(5).

    Raises:
        OSError: the table cannot be read.
    """
    found: dict[str, Mount] = {}
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            before, _, after = line.partition(" - ")
            fields, kind = before.split(" "), after.partition(" ")[0]
            if kind not in _PSEUDO:
                path = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
                found.setdefault(fields[2], Mount(fields[2], path, kind))
    return list(found.values())
