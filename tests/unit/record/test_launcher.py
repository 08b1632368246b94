"""The launcher: real commands, what they did to files, how they ended."""

import os
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlbom.errors import (
    CommandNotStartedError,
    EnvironmentFailureError,
    PathNotFoundError,
    UsageError,
)
from mlbom.record.launcher import record_step
from tests.unit.record.step import PYTHON, Project

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def told(sentences: tuple[str, ...], part: str) -> bool:
    return any(part in sentence for sentence in sentences)


def test_a_python_step_names_what_it_read_ran_and_wrote(project: Project) -> None:
    project.write("data/in.csv")
    project.write("data/neighbour.csv")
    project.write("lib.py", "def go(): return open('data/in.csv').read()\n")
    recording = project.run(
        "import lib, sys\nopen('out.txt', 'w').write(lib.go() + sys.argv[1])\n", "--lr"
    )
    assert recording.succeeded
    assert project.names(recording.reads) == {"data/in.csv", "lib.py", "step.py"}
    assert project.names(recording.modules) == {"lib.py", "step.py"}
    assert project.names(recording.writes) == {"out.txt"}
    assert recording.overwritten == ()
    assert recording.observers == ("audit hook", "stat difference")
    (process,) = recording.processes
    assert process.argv == ("step.py", "--lr")
    assert process.finished
    assert Path(process.executable) == Path(PYTHON)
    assert process.prefix == sys.prefix
    assert recording.usage.wall_s > 0
    assert recording.finished >= recording.started
    assert (recording.usage.max_rss_nbytes or 0) > 1_000_000
    assert told(recording.unseen, "programs other than Python")


def test_a_compiled_module_stands_for_its_source(project: Project) -> None:
    project.write("pack/__init__.py", "")
    project.write("pack/lib.py", "VALUE = 1\n")
    code = "import pack.lib\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    project.write("step.py", code)
    project.record(PYTHON, "step.py", environment=environment)
    assert list(project.root.glob("pack/__pycache__/lib.*.pyc"))
    again = project.record(PYTHON, "step.py", environment=environment)
    assert project.names(again.modules) == {"pack/__init__.py", "pack/lib.py", "step.py"}
    assert again.writes == ()


def test_output_is_handed_through_and_kept_for_the_owner_alone(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = project.run("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("out\n", "err\n")
    assert recording.stdout is not None
    assert recording.stderr is not None
    assert recording.stdout.read_text() == "out\n"
    assert recording.stderr.read_text() == "err\n"
    assert stat.S_IMODE(recording.stdout.stat().st_mode) == 0o600


def test_a_large_output_is_kept_whole(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    recording = project.run("import os; [os.write(1, b'x' * 99_999) for _ in range(30)]")
    assert len(capfd.readouterr().out) == 30 * 99_999
    assert recording.stdout is not None
    assert recording.stdout.stat().st_size == 30 * 99_999


def test_the_child_sees_its_environment_and_never_the_passphrase(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLBOM_KEY_PASSPHRASE", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "mine")
    recording = project.run(
        "import os, sys\nprint(os.environ.get('MLBOM_KEY_PASSPHRASE'),"
        " os.environ['PYTHONPATH'].split(os.pathsep)[1:], os.path.abspath('mine') in sys.path)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "None ['mine'] True\n"
    assert recording.environment["PYTHONPATH"] == "mine"
    assert not [name for name in recording.environment if name.startswith("MLBOM_")]


def test_without_a_pythonpath_the_working_directory_is_not_added(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    project.write("tool/step.py", "import sys; print('' in sys.path or sys.path.count('.'))\n")
    recording = project.record(PYTHON, "tool/step.py")
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "0\n"


def test_a_file_that_the_step_made_is_no_input(project: Project) -> None:
    recording = project.run(
        "open('made.txt', 'w').write('1')\nopen('made.txt').read()\n"
        "import os; open('.tmp1', 'w').write('2'); os.replace('.tmp1', 'renamed.txt')\n"
        "open('renamed.txt').read()\n"
    )
    assert project.names(recording.reads) == {"step.py"}
    assert project.names(recording.writes) == {"made.txt", "renamed.txt"}


def test_what_was_rewritten_before_it_was_read_is_no_input(project: Project) -> None:
    project.write("metrics.json", "{}")
    recording = project.run("open('metrics.json', 'w').write('1')\nopen('metrics.json').read()\n")
    assert project.names(recording.reads) == {"step.py"}
    assert project.names(recording.writes) == {"metrics.json"}


def test_an_input_that_the_step_changes_is_overwritten(project: Project) -> None:
    project.write("state.txt", "1")
    project.write("gone.txt", "1")
    recording = project.run(
        "import os\nopen('state.txt').read(); open('state.txt', 'a').write('2')\n"
        "open('gone.txt').read(); os.remove('gone.txt')\n"
    )
    assert project.names(recording.reads) == {"state.txt", "gone.txt", "step.py"}
    assert project.names(recording.overwritten) == {"state.txt", "gone.txt"}
    assert project.names(recording.writes) == {"state.txt"}


def test_files_outside_of_the_project(project: Project, tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "elsewhere"
    outside.mkdir()
    (outside / "in.txt").write_text("1")
    recording = project.run(
        f"import os, tempfile\nos.chdir({str(outside)!r})\nopen('in.txt').read()\n"
        "open('out.txt', 'w').write('1'); open('out.txt').read()\n"
        "with tempfile.NamedTemporaryFile('w+') as t: t.write('x'); open(t.name).read()\n"
    )
    assert set(recording.reads) == {str(outside / "in.txt"), str(project.root / "step.py")}
    assert recording.writes == (str(outside / "out.txt"),)


def test_a_link_in_the_project_is_told_by_the_file_behind_it(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path.resolve() / "store"
    outside.mkdir()
    (outside / "a.txt").write_text("1")
    (project.root / "data").symlink_to(outside)
    recording = project.run("open('data/a.txt').read(); open('data/../step.py').close\n")
    assert str(outside / "a.txt") in recording.reads
    assert told(recording.unseen, "1 links in the project")


def test_what_git_and_virtual_environments_hold_is_nobodys_output(project: Project) -> None:
    recording = project.run(
        "import os\nfor d in ('.git', '.venv', 'node_modules', '__pycache__'):\n"
        "    os.makedirs(d); open(d + '/x', 'w').write('1')\n"
        "os.mkfifo('pipe') if hasattr(os, 'mkfifo') else None\n"
    )
    assert recording.writes == ()


def test_declared_inputs_count_though_nobody_saw_them(project: Project) -> None:
    project.write("data/a.txt")
    project.write("data/deep/b.txt")
    one = project.write("one.txt")
    plan = project.plan("true", inputs=(project.root / "data", one))
    recording = record_step(plan)
    assert project.names(recording.reads) == {"data/a.txt", "data/deep/b.txt", "one.txt"}
    assert told(recording.unseen, "only declared inputs")


def test_a_declared_input_that_is_not_there_is_refused_before_anything_runs(
    project: Project,
) -> None:
    plan = project.plan("touch", "ran", inputs=(project.root / "nothing",))
    with pytest.raises(PathNotFoundError, match="nothing"):
        record_step(plan)
    assert not (project.root / "ran").exists()


def test_declared_outputs_are_compared_with_what_was_there(project: Project) -> None:
    old = project.write("old.txt")
    folder = project.root / "out"
    project.write("out/kept.txt")
    missing = project.root / "missing.txt"
    recording = record_step(project.plan("touch", "out/new.txt", outputs=(old, folder, missing)))
    assert project.names(recording.writes) == {"old.txt", "out/new.txt"}
    assert told(recording.unseen, "1 of the declared outputs are not there")
    assert told(recording.unseen, "1 of the declared outputs are as they were")


def test_a_declared_output_may_lie_outside_of_the_project(project: Project, tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "results"
    outside.mkdir()
    (outside / "old.txt").write_text("1")
    recording = record_step(project.plan("touch", f"{outside}/new.txt", outputs=(outside,)))
    assert recording.writes == (str(outside / "new.txt"),)


def test_a_plain_executable_tells_nothing_and_the_record_says_so(project: Project) -> None:
    project.write("data.txt")
    recording = project.record("cat", "data.txt")
    assert recording.reads == ()
    assert recording.observers == ("stat difference",)
    assert told(recording.unseen, "nothing told which files the step opened")


def test_a_script_of_the_project_that_is_started_is_an_input(project: Project) -> None:
    project.write("go.sh", "#!/bin/sh\ntrue\n").chmod(0o755)
    assert project.names(project.record("./go.sh").reads) == {"go.sh"}


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_a_python_without_the_recorder_is_noticed(project: Project, option: str) -> None:
    project.write("step.py", "open('step.py').read()")
    recording = project.record(PYTHON, option, "step.py")
    assert recording.processes == ()
    assert told(recording.unseen, "the Python of the command started without the recorder")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs /proc")
def test_a_python_without_the_recorder_below_a_shell_is_noticed(project: Project) -> None:
    project.write("quiet.py", "import time; time.sleep(0.6)")
    recording = project.record("sh", "-c", f"{PYTHON} -I quiet.py; {PYTHON} quiet.py")
    assert len(recording.processes) == 1
    assert told(recording.unseen, "1 Python process started without the recorder")


def test_a_shell_pipeline(project: Project) -> None:
    project.write("in.txt", "3\n")
    project.write("a.py", "print(open('in.txt').read())")
    project.write("b.py", "import sys; print(int(sys.stdin.read()) + 1)")
    recording = project.record("sh", "-c", f"{PYTHON} a.py | {PYTHON} b.py > out.txt")
    assert (project.root / "out.txt").read_text() == "4\n"
    assert project.names(recording.reads) == {"a.py", "b.py", "in.txt"}
    assert project.names(recording.writes) == {"out.txt"}
    assert len(recording.processes) == 2


def test_a_crash_leaves_a_recording(project: Project) -> None:
    project.write("in.txt")
    recording = project.run(
        "open('in.txt').read(); open('half', 'w').write('1'); raise SystemExit(3)"
    )
    assert (recording.exit_code, recording.signal) == (3, None)
    assert not recording.succeeded
    assert project.names(recording.reads) == {"in.txt", "step.py"}
    assert project.names(recording.writes) == {"half"}


@posix_only
def test_kill_9_leaves_a_recording_with_what_was_read_so_far(project: Project) -> None:
    project.write("in.txt")
    recording = project.run(
        "import os, random\nrandom.seed(5)\nopen('in.txt').read()\nos.kill(os.getpid(), 9)\n"
    )
    assert (recording.exit_code, recording.signal) == (None, signal.SIGKILL)
    assert project.names(recording.reads) == {"in.txt", "step.py"}
    assert recording.seeds == {"random": "5"}
    assert [process.finished for process in recording.processes] == [False]


@posix_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_to_mlbom_reaches_the_command(project: Project, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    project.write("step.py", "import time; open('ready', 'w'); time.sleep(60)")

    def send() -> None:
        while not (project.root / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    recording = project.record(PYTHON, "step.py")
    assert recording.signal == number
    assert signal.getsignal(number) is before


@posix_only
def test_what_the_command_left_running_may_write_to_its_end(project: Project) -> None:
    recording = project.record("sh", "-c", "(sleep 1; echo late) & echo first")
    assert recording.usage.wall_s < 0.9
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "first\nlate\n"
    assert not told(recording.unseen, "running")


@posix_only
def test_a_signal_ends_the_wait_for_what_was_left_running(project: Project) -> None:
    def send() -> None:
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    recording = project.record("sh", "-c", "sleep 20 & echo $!")
    assert recording.succeeded
    assert told(recording.unseen, "left processes running")
    assert recording.stdout is not None
    os.kill(int(recording.stdout.read_text()), signal.SIGKILL)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
def test_a_daemon_with_closed_output_is_told(project: Project) -> None:
    recording = project.record("sh", "-c", "sleep 20 >/dev/null 2>&1 & echo $!")
    assert told(recording.unseen, "1 processes of the step were still running")
    assert recording.stdout is not None
    os.kill(int(recording.stdout.read_text()), signal.SIGKILL)


@posix_only
def test_a_python_that_becomes_one_without_the_recorder_is_noticed(project: Project) -> None:
    project.write("other.py", "open('step.py').read()")
    code = "import os, sys\nos.execve(sys.executable, [sys.executable, 'other.py'], {})\n"
    assert told(project.run(code).unseen, "1 Python process started without the recorder")
    again = project.run(code.replace("{}", "dict(os.environ)"))
    assert not told(again.unseen, "without the recorder")


@posix_only
def test_a_seed_function_pickles_as_it_does_without_us(project: Project) -> None:
    recording = project.run(
        "import pickle, random\nprint(random.seed.__self__ is random._inst)\n"
        "print(pickle.loads(pickle.dumps(random.seed)).__name__)\nrandom.seed(5)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "True\nseed\n"
    assert recording.seeds == {"random": "5"}


def test_a_command_that_is_not_there(project: Project) -> None:
    with pytest.raises(CommandNotStartedError, match="no-such-program"):
        project.record("no-such-program", "-x")
    with pytest.raises(CommandNotStartedError, match="step"):
        project.record(str(project.write("step.txt")))


@posix_only
def test_a_script_without_an_interpreter_is_a_coded_error(project: Project) -> None:
    script = project.write("script", "echo hello\n")
    script.chmod(0o755)
    with pytest.raises(CommandNotStartedError, match="cannot start"):
        project.record("./script")
    assert not list((project.root / ".mlbom").rglob("*.log"))


def test_an_unknown_observer_is_a_usage_error(project: Project) -> None:
    with pytest.raises(UsageError, match="magic"):
        project.record("true", observe="magic")


def test_an_observer_that_was_asked_for_and_cannot_start_is_an_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project.root))
    with pytest.raises(EnvironmentFailureError, match="strace"):
        project.record(PYTHON, "-c", "open('ran', 'w')", observe="strace")
    assert not (project.root / "ran").exists()


def test_a_run_folder_is_used_once(project: Project) -> None:
    plan = project.plan("true")
    record_step(plan)
    with pytest.raises(EnvironmentFailureError, match="folder of the run"):
        record_step(plan)


@posix_only
def test_arguments_directory_and_descriptors_are_the_users(project: Project) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    os.write(write, b"handed over")
    os.close(write)
    (project.root / "link").symlink_to(PYTHON)
    recording = project.run(
        f"import os, sys; print(os.read({read}, 99), sys.argv, os.getcwd(), os.getpgrp())", "*", ""
    )
    os.close(read)
    assert recording.stdout is not None
    expected = f"b'handed over' {['step.py', '*', '']} {project.root} {os.getpgrp()}\n"
    assert recording.stdout.read_text() == expected


def test_the_network_is_told(project: Project) -> None:
    recording = project.run(
        "import socket\ns = socket.socket()\ns.settimeout(0.01)\n"
        "try: s.connect(('192.0.2.1', 9))\nexcept OSError: pass\n"
    )
    assert told(recording.unseen, "used the network")
    local = project.run(
        "import socket\ns = socket.socket()\n"
        "try: s.connect(('127.0.0.1', 9))\nexcept OSError: pass\n"
    )
    assert not told(local.unseen, "used the network")


def test_a_recorder_inside_a_recorder_tells_its_own_step(project: Project) -> None:
    source = Path(__file__).parents[3]
    project.write("in.txt")
    project.write("inner.py", "open('in.txt').read()")
    (project.root / "folder").mkdir()
    recording = project.run(
        f"import sys; sys.path.append({str(source)!r})\nfrom pathlib import Path\n"
        "from mlbom.record.launcher import record_step\n"
        "from mlbom.record.recording import StepPlan\n"
        "here = Path.cwd()\n"
        "r = record_step(StepPlan(argv=(sys.executable, 'inner.py'), cwd=here, project_root=here,"
        " folder=here / 'folder', observe='hook'))\n"
        "print(sorted(Path(p).name for p in r.reads), 'PYTHONPATH' in r.environment)\n"
    )
    assert recording.succeeded
    assert recording.stdout is not None
    assert recording.stdout.read_text() == f"{['in.txt', 'inner.py']} False\n"


@pytest.mark.skipif(tempfile.gettempdir() == "/", reason="nowhere to put it")
def test_bytes_names_that_are_no_text_survive(project: Project) -> None:
    if sys.platform != "linux":
        pytest.skip("this file system takes text alone")
    (project.root / os.fsdecode(b"caf\xe9.txt")).write_text("1")
    recording = project.run("open(b'caf\\xe9.txt').read()")
    assert os.path.join(project.root, os.fsdecode(b"caf\xe9.txt")) in recording.reads


@posix_only
def test_a_rewrite_that_sets_the_time_back_never_passes_for_the_input(project: Project) -> None:
    project.write("in.txt", "old\n")
    recording = project.run(
        "import os\ns = os.stat('in.txt')\nopen('in.txt', 'w').write('new\\n')\n"
        "os.utime('in.txt', ns=(s.st_atime_ns, s.st_mtime_ns))\nopen('in.txt').read()\n"
    )
    assert "in.txt" in project.names(recording.overwritten)
    assert "in.txt" in project.names(recording.writes)


@posix_only
@pytest.mark.parametrize("verb", ["rename", "link"])
def test_an_input_that_got_another_name_before_it_was_read(project: Project, verb: str) -> None:
    project.write("in.txt")
    recording = project.run(f"import os\nos.{verb}('in.txt', 'b.txt')\nopen('b.txt').read()\n")
    assert project.names(recording.reads) == {"in.txt", "step.py"}
    assert project.names(recording.overwritten) == {"in.txt"}


@posix_only
def test_a_name_relative_to_another_folder_is_no_input(project: Project) -> None:
    project.write("x.txt", "top")
    project.write("sub/x.txt", "below")
    recording = project.run(
        "import os\nsub = os.open('sub', os.O_RDONLY)\nos.read(os.open('x.txt', 0, dir_fd=sub), 9)"
    )
    assert project.names(recording.reads) == {"step.py"}
    assert told(recording.unseen, "1 files were opened by a name relative to a folder")


@posix_only
def test_an_open_that_failed_is_no_read(project: Project) -> None:
    project.write("in.txt")
    recording = project.run(
        "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (70, 70))\n"
        "held = []\nwhile True:\n    try: held.append(os.dup(0))\n    except OSError: break\n"
        "try: open('in.txt')\nexcept OSError: print('no')\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "no\n"
    assert project.names(recording.reads) == {"step.py"}


@posix_only
@pytest.mark.parametrize("what", ["{d}", "os.path.dirname({d})", "'.mlbom'"])
def test_a_step_that_removes_our_folders_leaves_a_recording(project: Project, what: str) -> None:
    folder = "os.environ['MLBOM_RECORD_DIR']"
    recording = project.run(f"import os, shutil\nshutil.rmtree({what.format(d=folder)})\n")
    assert recording.succeeded
    assert told(recording.unseen, "trace was removed")
    assert (recording.stdout is None) == (what != "{d}")


@posix_only
def test_descriptor_3_is_the_programs(project: Project) -> None:
    recording = project.run("print(open('step.py').fileno())")
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "3\n"


@posix_only
def test_a_copy_that_keeps_its_time_is_an_output_outside_of_the_project(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path.resolve() / "kept.txt"
    old = project.write("old.txt")
    os.utime(old, (1, 1))
    recording = project.run(f"import shutil\nshutil.copy2('old.txt', {str(outside)!r})\n")
    assert recording.writes == (str(outside),)


def test_mlbom_itself_runs_inside_a_step(project: Project) -> None:
    source = Path(__file__).parents[3]
    recording = project.run(
        f"import sys; sys.path.append({str(source)!r})\nfrom pathlib import Path\n"
        "from mlbom.config import load_settings\nload_settings(Path.cwd(), {})\n"
    )
    assert recording.succeeded
