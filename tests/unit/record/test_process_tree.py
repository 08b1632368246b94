"""Tests of mlbom.record.observers.process_tree with real processes, told by the kernel or read in /proc."""

import os
import subprocess
import sys
import time

import pytest

from mlbom.record.observers.process_tree import ForkConnector, ProcessTree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")


def has_connector() -> bool:
    """Return whether this machine tells us of forks."""
    try:
        ForkConnector().close()
    except OSError:
        return False
    return True


needs_connector = pytest.mark.skipif(not has_connector(), reason="the kernel tells of no forks")
WAYS = [pytest.param(True, marks=needs_connector, id="connector"), pytest.param(False, id="proc")]


def ask(shell: subprocess.Popen[str], command: str) -> int:
    """Let a shell run a command that prints a number."""
    assert shell.stdin
    assert shell.stdout
    shell.stdin.write(f"{command}\n")
    shell.stdin.flush()
    return int(shell.stdout.readline())


def started(*, use_connector: bool) -> ProcessTree:
    """Return a tree that listens."""
    tree = ProcessTree(use_connector=use_connector)
    tree.start()
    assert tree.is_exact == use_connector
    return tree


@pytest.mark.parametrize("use_connector", WAYS)
def test_children_belong_and_strangers_do_not(*, use_connector: bool) -> None:
    with subprocess.Popen(["sleep", "9"]) as stranger:
        time.sleep(0.05)  # Start times are told in hundredths of a second.
        tree = started(use_connector=use_connector)
        with subprocess.Popen(
            ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as shell:
            tree.follow(shell.pid)
            sleeper = ask(shell, "(sleep 9 >/dev/null & echo $!)")
            tree.update()
            assert tree.holds(shell.pid)
            assert tree.holds(sleeper) or not use_connector
            assert tree.holds(os.getpid()) is False
            assert tree.holds(stranger.pid) is False
            os.kill(sleeper, 9)
            shell.communicate()
        stranger.kill()
    tree.close()


@pytest.mark.parametrize("use_connector", WAYS)
def test_children_forked_before_the_root_was_named(*, use_connector: bool) -> None:
    tree = started(use_connector=use_connector)
    with subprocess.Popen(
        ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        sleeper = ask(shell, "sleep 9 >/dev/null & echo $!")
        tree.update()
        tree.meet(sleeper)
        tree.follow(shell.pid)
        assert tree.holds(sleeper)
        os.kill(sleeper, 9)
        shell.communicate()
    tree.close()


@needs_connector
def test_process_that_lived_for_a_moment_is_known() -> None:
    tree = started(use_connector=True)
    with subprocess.Popen(["sh", "-c", "true & echo $!; wait"], stdout=subprocess.PIPE) as shell:
        tree.follow(shell.pid)
        told, _ = shell.communicate()
    tree.update()
    assert tree.holds(int(told)) is True
    tree.close()


def test_process_that_was_never_met_is_not_known() -> None:
    tree = started(use_connector=False)
    with subprocess.Popen(["sh", "-c", "true & echo $!; wait"], stdout=subprocess.PIPE) as shell:
        tree.follow(shell.pid)
        told, _ = shell.communicate()
    assert tree.holds(int(told)) is None
    tree.close()


def test_process_that_was_met_is_known_when_it_has_gone() -> None:
    tree = started(use_connector=False)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        tree.meet(process.pid)
        tree.follow(process.pid)
        process.communicate()
    assert tree.holds(process.pid) is True
    tree.close()


def test_orphan_whose_parent_was_never_met_may_belong() -> None:
    tree = started(use_connector=False)
    with subprocess.Popen(
        ["sh", "-c", "(setsid sleep 9 >/dev/null & echo $!)"], stdout=subprocess.PIPE
    ) as shell:
        tree.follow(shell.pid)
        told, _ = shell.communicate()
    orphan = int(told)
    assert tree.holds(orphan) is None
    os.kill(orphan, 9)
    tree.close()


def test_orphan_of_the_roots_session_belongs() -> None:
    tree = started(use_connector=False)
    with subprocess.Popen(
        ["sh", "-c", "(sleep 9 >/dev/null & echo $!)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        tree.follow(shell.pid)
        told, _ = shell.communicate()
    orphan = int(told)
    assert tree.holds(orphan) is True
    os.kill(orphan, 9)
    tree.close()
