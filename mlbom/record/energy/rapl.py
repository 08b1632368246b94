"""The energy counters of processors and memory, as the Linux kernel shows them (RAPL).

Source: Documentation/power/powercap/powercap.rst of the Linux kernel. AMD processors are shown
under the same names as Intel's. Since 2020 only root may read the counters.
"""

import re
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"(intel-rapl:\d+)(:\d+)?")
_PACKAGE, _MEMORY = "package-", "dram"
_JOULES = 1e-6


class RaplZone:
    """One counter of microjoules, which starts again at zero after some minutes.

    Args:
        name: of the domain, for example `cpu:package-0`.
        folder: of the zone.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.failure = ""
        self._folder = folder
        self._last_uj: int | None = None
        self._used_uj = 0

    @property
    def energy_j(self) -> float | None:
        """Return the joules between the first and the last sample; None after a failure."""
        return None if self.failure or self._last_uj is None else self._used_uj * _JOULES

    def sample(self) -> None:
        """Read the counter; a failure ends this zone."""
        if self.failure:
            return
        try:
            now_uj = self._read("energy_uj")
            if self._last_uj is not None:
                used_uj = now_uj - self._last_uj
                if used_uj < 0:
                    used_uj += self._read("max_energy_range_uj")
                self._used_uj += used_uj
            self._last_uj = now_uj
        except OSError as error:
            self.failure = (error.strerror or str(error)).lower()
        except ValueError:
            self.failure = "the counter holds no number"

    def _read(self, name: str) -> int:
        return int((self._folder / name).read_text(encoding="ascii"))


def find_zones(powercap: Path) -> list[RaplZone]:
    """Return the zones that do not overlap: processor packages, and the memory beside them.

    Cores and graphics are parts of a package, `psys` and a second interface (`intel-rapl-mmio`)
    count the same again: they are left out.
    """
    names: dict[str, str] = {}
    try:
        folders = sorted(powercap.iterdir())
    except OSError:
        return []
    for folder in folders:
        if _ZONE.fullmatch(folder.name):
            try:
                names[folder.name] = (folder / "name").read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue
    zones = []
    for zone, name in names.items():
        package = names.get(":".join(zone.split(":")[:2]), "")
        if name.startswith(_PACKAGE):
            zones.append(RaplZone(f"cpu:{name}", powercap / zone))
        elif name == _MEMORY and package.startswith(_PACKAGE):
            zones.append(RaplZone(f"memory:{package}", powercap / zone))
    return zones
