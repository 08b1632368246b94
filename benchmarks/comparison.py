"""Two commands side by side: A B A B, medians of the ratios, the success of both asserted."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = 7


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost, in seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Row:
    """One comparison: the figure is A/B, and the goal is an upper bound for it."""

    name: str
    a: Sequence[str]
    b: Sequence[str]
    figure: str
    goal: float
    rounds: int = ROUNDS


def measure(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end and return its cost; its success is asserted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr.decode()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


def compare(row: Row, environment: dict[str, str], prepare: Callable[[], None]) -> bool:
    """Run both sides in turn and print the median ratio; return whether the goal is met."""
    ratios = []
    for number in range(row.rounds + 1):
        prepare()
        first = measure(row.a, environment)
        second = measure(row.b, environment)
        if number:  # the first round warms caches on both sides
            ratios.append(getattr(first, row.figure) / getattr(second, row.figure))
    middle = statistics.median(ratios)
    verdict = "met" if middle <= row.goal else "MISSED"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{row.name:<58} {row.figure:<4} {middle:6.2f}  ({spread})  goal {row.goal}  {verdict}")
    return middle <= row.goal
