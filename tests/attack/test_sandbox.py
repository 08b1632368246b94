"""A training that wants out: no network, no keys, no secrets, no trace left of it afterwards."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.errors import EnvironmentFailureError, PathNotFoundError
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.sandbox.ground import remove_abandoned
from mlbom.reproduce.values import Outcome, Rerun
from tests.fixtures.trainings import PYTHON, Workshop, told

ROOT = Path(__file__).parents[2]
is_root = hasattr(os, "geteuid") and os.geteuid() == 0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are of Linux")


def has_namespaces() -> bool:
    command = ["unshare", "-n", "-m", "true"] if is_root else ["unshare", "-rnm", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(
    not has_namespaces(), reason="this system allows no namespaces"
)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    assert not list(made.scratch.iterdir()), "a sandbox was left behind"


def running(mark: str) -> list[int]:
    """Return the processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def await_end(mark: str) -> list[int]:
    """Return the processes that still run after some time."""
    deadline = time.monotonic() + 5
    while (found := running(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@needs_namespaces
class TestNetwork:
    """Neither this machine nor any other is reached, and ranks of one job reach each other."""

    CODE = """
import socket
def reach(family, address):
    channel = socket.socket(family)
    channel.settimeout(2)
    try:
        channel.connect(address)
        return 'reached'
    except OSError as error:
        return type(error).__name__
    finally:
        channel.close()
print(reach(socket.AF_INET, ('127.0.0.1', PORT)))
print(reach(socket.AF_UNIX, '\\0mlbom-PORT'))
print(reach(socket.AF_INET, ('192.0.2.1', 80)))
print([name for _, name in socket.if_nameindex()])
server = socket.create_server(('127.0.0.1', 0))
print(reach(socket.AF_INET, server.getsockname()))
"""

    def test_no_way_out(self, workshop: Workshop) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as at:
            port = server.getsockname()[1]
            at.bind(f"\0mlbom-{port}")
            at.listen()
            code = self.CODE.replace("PORT", str(port))
            inside = workshop.rerun(code)
            plain = [PYTHON, "-c", code]
            outside = subprocess.run(plain, capture_output=True, text=True, check=True).stdout
        lines = told(inside).splitlines()
        assert lines == ["ConnectionRefusedError"] * 2 + ["OSError", "['lo']", "reached"]
        assert inside.isolated
        assert inside.network.startswith("IP network off: a network namespace of its own")
        assert "with lo alone" in inside.network
        assert outside.splitlines()[:2] == ["reached"] * 2

    def test_two_ranks_find_each_other(self, workshop: Workshop) -> None:
        pytest.importorskip("torch")
        code = (
            "import torch, torch.distributed as d\nd.init_process_group('gloo')\n"
            "t = torch.ones(1) * (d.get_rank() + 1)\nd.all_reduce(t)\n"
            "open(f'sum{d.get_rank()}', 'w').write(str(t.item()))\nd.destroy_process_group()\n"
        )
        command = (PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        workshop.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        rerun = workshop.rerun(code, command=(*command, "train.py"), timeout_s=120.0)
        assert rerun.outcome is Outcome.FINISHED, rerun.detail
        assert {path.read_text() for path in rerun.outputs.values()} == {"3.0"}
        assert rerun.isolated


@needs_namespaces
class TestKeys:
    """Nothing that signs or logs in can be read, and nothing outside can be written."""

    NAMES = (
        *(".ssh/id_ed25519", ".gnupg/key", ".aws/credentials", ".azure/token", ".kube/config"),
        *(".config/gcloud/adc.json", ".config/gh/hosts.yml", ".docker/config.json", ".netrc"),
        *(".git-credentials", ".pypirc", ".config/mlbom/keys/default.pem", ".kaggle/kaggle.json"),
        *(".cache/huggingface/token", "elsewhere/signing.pem", "named.json"),
    )

    @pytest.fixture
    def home(self, workshop: Workshop) -> Path:
        home = workshop.folder / "user"
        for name in self.NAMES:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("CANARY")
        (home / ".config" / "other").mkdir()
        (home / ".config" / "other" / "settings").write_text("plain")
        workshop.environment = {
            **os.environ,
            "HOME": str(home),
            "GOOGLE_APPLICATION_CREDENTIALS": str(home / "named.json"),
        }
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HF_HOME"):
            workshop.environment.pop(name, None)
        return home

    def test_none_can_be_read(self, workshop: Workshop, home: Path) -> None:
        code = f"""
import os
found = []
for folder, _, files in os.walk({str(home)!r}):
    for name in files:
        try:
            text = open(os.path.join(folder, name)).read()
        except OSError:
            continue
        if text:
            found.append((name, text))
print(found)
"""
        hidden = (home / "elsewhere" / "signing.pem",)
        rerun = workshop.rerun(code, hidden=hidden)
        assert told(rerun) == "[('settings', 'plain')]\n", rerun.recording.unseen
        assert (home / ".ssh" / "id_ed25519").read_text() == "CANARY"

    def test_a_cover_cannot_be_lifted(self, workshop: Workshop, home: Path) -> None:
        """Neither by its own rights, nor in namespaces of its own, nor by way of our process."""
        key = home / ".ssh" / "id_ed25519"
        code = f"""
import ctypes, os, subprocess
key, cover = {str(key)!r}, {str(key.parent)!r}
libc = ctypes.CDLL(None)
print(libc.umount(cover.encode()), libc.umount2(cover.encode(), 2))
script = f'umount {{cover}}; cat {{key}}'
done = subprocess.run(['unshare', '-rm', 'sh', '-c', script], capture_output=True)
print(done.stdout)
for pid in (os.getppid(), 1):
    for name in (f'/proc/{{pid}}/root' + key, f'/proc/{{pid}}/environ'):
        try:
            print(open(name).read())
        except OSError as error:
            print('no')
for name in ('net', 'mnt'):
    try:
        place = os.open(f'/proc/{{os.getppid()}}/ns/{{name}}', os.O_RDONLY)
        print(libc.setns(place, 0))
    except OSError:
        print(-1)
"""
        workshop.environment = {**workshop.environment, "CANARY": "CANARY"}
        rerun = workshop.rerun(code)
        assert told(rerun).splitlines() == ["-1 -1", "b''", *["no"] * 4, "-1", "-1"]

    def test_the_users_own_files_cannot_be_written(self, workshop: Workshop, home: Path) -> None:
        places = [workshop.top / "README.md", home / "new", Path("/etc/mlbom-test")]
        code = f"""
import errno
for name in {[str(place) for place in places]!r}:
    try:
        open(name, 'w').write('stolen')
    except OSError as error:
        print(errno.errorcode[error.errno])
open('mine', 'w').write('1')
"""
        workshop.scratch = Path(tempfile.mkdtemp(dir=workshop.folder))
        rerun = workshop.rerun(code)
        assert set(told(rerun).split()) <= {"EROFS", "EACCES"}
        assert len(told(rerun).split()) >= 2
        assert (workshop.top / "README.md").read_text() == "x\n"
        assert set(rerun.outputs) == {"mine"}

    @pytest.mark.parametrize("kind", ["interpreter", "prefix", "link", "command", "missing"])
    def test_no_interpreter_uncovers_them(self, workshop: Workshop, home: Path, kind: str) -> None:
        """`python = "~/.ssh/python"` in a project's settings, there or not."""
        keys = home / ".ssh"
        if kind != "missing":
            (keys / "bin").mkdir()
            (keys / "bin" / "python").symlink_to(PYTHON)
            (keys / "python").write_text("")
        link = workshop.folder / "environment"
        link.symlink_to(keys)
        changes: dict[str, object] = {
            "interpreter": {"python_prefix": keys / "python"},
            "prefix": {"python_prefix": keys},
            "link": {"python_prefix": link / "bin" / "python"},
            "command": {"command": (str(keys / "python"), "train.py")},
            "missing": {"python_prefix": keys / "python"},
        }
        plan = replace(workshop.plan("print(1)"), **changes[kind])  # type: ignore[arg-type]
        expected = PathNotFoundError if kind == "missing" else EnvironmentFailureError
        with pytest.raises(expected, match="no training may read|there is no Python"):
            workshop.run(plan)

    def test_a_key_inside_a_cache_is_hidden_too(self, workshop: Workshop, home: Path) -> None:
        cache = home / ".cache" / "huggingface"
        workshop.environment = {**workshop.environment, "HF_HUB_CACHE": str(cache)}
        rerun = workshop.rerun(f"print(repr(open({str(cache / 'token')!r}).read()))")
        assert told(rerun) == "''\n", rerun.recording.unseen


@needs_namespaces
class TestAnswers:
    """A run finds neither the record that it is compared with nor what another run has made."""

    def test_records_and_earlier_runs_are_not_there(self, workshop: Workshop) -> None:
        private = workshop.top / ".mlbom" / "private"
        earlier = private / "reproductions" / "earlier" / "run-1" / "outputs"
        earlier.mkdir(parents=True)
        (earlier / "w.pt").write_text("answer")
        workshop.keep = private / "reproductions" / "now"
        code = f"""
import os
for top in ({str(workshop.top / ".mlbom")!r}, {str(workshop.folder / "keep")!r}):
    print([name for _, _, names in os.walk(top) for name in names if name == 'w.pt'])
open('w.pt', 'w').write('made')
"""
        plan = workshop.plan(code)
        for label in ("run-1", "run-2"):
            rerun = workshop.run(plan, Attempt(label=label))
            assert told(rerun) == "[]\n[]\n", rerun.recording.unseen
            assert rerun.outputs["w.pt"].read_text() == "made"
            assert rerun.recording.writes
        workshop.keep = workshop.folder / "keep"
        for label in ("run-1", "run-2"):
            assert told(workshop.run(plan, Attempt(label=label))) == "[]\n[]\n"
        assert (earlier / "w.pt").read_text() == "answer"

    def test_nothing_is_left_in_shared_folders(self, workshop: Workshop) -> None:
        name = f"mlbom-left-{os.getpid()}"
        code = f"""
import os
for folder in ('/dev/shm', '/tmp', '/var/tmp'):
    print(os.path.exists(folder + '/{name}'))
    open(folder + '/{name}', 'w').write('left')
print(os.listdir('/dev/shm'))
"""
        plan = workshop.plan(code)
        for label in ("run-1", "run-2"):
            rerun = workshop.run(plan, Attempt(label=label))
            assert told(rerun).splitlines() == [*["False"] * 3, f"['{name}']"], rerun.detail
            assert not any("is shared" in text for text in rerun.recording.unseen)
        for folder in ("/dev/shm", "/tmp", "/var/tmp"):  # noqa: S108 - looked at
            assert not (Path(folder) / name).exists()


@needs_namespaces
@pytest.mark.skipif(not is_root, reason="for others the system keeps them closed")
def test_root_reaches_no_disk_and_no_setting_of_the_kernel(workshop: Workshop) -> None:
    code = """
import errno, os, pty, stat
try:
    open('/proc/sys/kernel/domainname', 'w')
except OSError as error:
    print(errno.errorcode[error.errno])
names = set(os.listdir('/dev'))
print([n for n in names if stat.S_ISBLK(os.stat('/dev/' + n).st_mode)], names & {'kvm', 'mem', 'kmsg'})
try:
    os.chmod('/dev/null', 0)
except OSError as error:
    print(errno.errorcode[error.errno])
open('/dev/null', 'w').write('x')
print(len(open('/dev/urandom', 'rb').read(4)), len(pty.openpty()))
"""
    rerun = workshop.rerun(code)
    assert told(rerun).splitlines() == ["EROFS", "[] set()", "EROFS", "4 2"], rerun.detail


def test_a_file_of_holes_is_refused(workshop: Workshop) -> None:
    rerun = workshop.rerun("open('w.pt', 'wb').truncate(8 * 2**40)")
    assert rerun.outcome is Outcome.NO_SPACE
    assert "File too large" in rerun.detail
    assert all(path.stat().st_size == 0 for path in rerun.outputs.values())


def test_no_secret_of_the_environment_comes_in(workshop: Workshop) -> None:
    canaries = (
        *("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "WANDB_API_KEY", "SSH_AUTH_SOCK"),
        *("MLBOM_KEY", "MLBOM_KEY_PASSPHRASE", "HTTPS_PROXY", "http_proxy", "PIP_INDEX_URL"),
        *("TORCH_API_KEY", "OMP_PASSWORD", "MKL_SECRET", "DOCKER_AUTH_CONFIG", "DATABASE_URL"),
        *("DBUS_SESSION_BUS_ADDRESS", "KRB5CCNAME", "GIT_ASKPASS", "DISPLAY", "CUDA_CACHE_PATH"),
    )
    token = "ghp_" + "aB3dE6gH9kL2nP5rS8uV" * 2
    workshop.environment = {
        **os.environ,
        **dict.fromkeys(canaries, "CANARY"),
        "LANG": f"https://user:{token}@example.org",
        "OMP_NUM_THREADS": "1",
        "NCCL_DEBUG": "INFO",
    }
    code = "import json, os\nprint(json.dumps([dict(os.environ), os.path.expanduser('~')]))"
    rerun = workshop.rerun(code)
    variables, home = json.loads(told(rerun))
    assert "CANARY" not in variables.values()
    assert not [value for value in variables.values() if token in value]
    assert (variables["OMP_NUM_THREADS"], variables["NCCL_DEBUG"]) == ("1", "INFO")
    ours = {name for name in variables if name.startswith("MLBOM_")}
    assert {name for name in ours if not name.startswith("MLBOM_RECORD_")} == set()
    assert home.startswith(str(workshop.scratch))
    assert variables["TMPDIR"].startswith(str(workshop.scratch))


@pytest.mark.parametrize("has_variable", [True, False])
def test_a_daemon_does_not_outlive_its_run(workshop: Workshop, *, has_variable: bool) -> None:
    """In a session of its own, deaf to SIGTERM, with or without the variable it is known by."""
    mark = f"mlbom-daemon-{os.getpid()}-{has_variable}"
    environment = "dict(os.environ)" if has_variable else "{}"
    daemon = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    code = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.execve(sys.executable, [sys.executable, '-c', {daemon!r}, {mark!r}], {environment})
    os._exit(0)
os.wait()
for _ in range(200):
    if any({mark!r} in open(f'/proc/{{pid}}/cmdline').read()
           for pid in os.listdir('/proc') if pid.isdigit() and pid != str(os.getpid())):
        print('up')
        break
    time.sleep(0.02)
"""
    rerun = workshop.rerun(code)
    assert told(rerun) == "up\n"
    assert rerun.outcome is Outcome.FINISHED
    assert await_end(mark) == []


def test_a_tree_that_resists_is_removed(workshop: Workshop) -> None:
    """Folders without rights, a name that is no text, a pipe, a depth that no path reaches."""
    code = """
import os
os.makedirs('closed/inner')
open('closed/inner/f', 'w').close()
os.chmod('closed/inner', 0)
os.chmod('closed', 0o500)
os.symlink('/', 'root')
os.mkfifo('pipe')
open(b'caf\\xe9', 'w').close()
os.mkdir('deep')
os.chdir('deep')
for _ in range(1500):
    os.mkdir('d')
    os.chdir('d')
"""
    assert workshop.rerun(code).outcome is Outcome.FINISHED


def test_a_link_leads_nothing_out_of_the_sandbox(workshop: Workshop) -> None:
    """What is kept is a file that the training wrote, never where a link of its points to."""
    secret = workshop.folder / "secret"
    secret.mkdir()
    (secret / "w.pt").write_text("outside")
    code = f"""
import os
os.symlink({str(secret / "w.pt")!r}, 'link.pt')
os.symlink({str(secret)!r}, 'folder')
os.mkfifo('pipe.pt')
open('real.pt', 'w').write('1')
"""
    outputs = ("link.pt", "folder/w.pt", "pipe.pt", "real.pt", "../README.md", "/etc/passwd")
    rerun = workshop.rerun(code, outputs=outputs)
    assert {name: path.read_text() for name, path in rerun.outputs.items()} == {"real.pt": "1"}
    assert (secret / "w.pt").read_text() == "outside"


def test_an_input_is_never_written_through_a_link(workshop: Workshop) -> None:
    outside = workshop.folder / "outside"
    outside.mkdir()
    (workshop.top / "data").symlink_to(outside)
    (workshop.top / "inner").mkdir()
    (workshop.top / "inner" / "f").write_text("1")
    (workshop.top / "within").symlink_to("inner")
    given = workshop.folder / "given"
    given.write_text("input")
    plan = workshop.plan("print(open('data/a/x').read(), open('inner/x').read())")
    rerun = workshop.run(replace(plan, inputs={"data/a/x": given, "within/x": given}))
    assert told(rerun) == "input input\n"
    assert not list(outside.iterdir())
    for name in ("../x", "/tmp/x", "a/../../x"):  # noqa: S108 - never written
        with pytest.raises(EnvironmentFailureError, match="outside of the project"):
            workshop.run(replace(plan, inputs={name: given}))


def test_a_folder_that_leads_out_is_refused(workshop: Workshop) -> None:
    (workshop.top / "sub").symlink_to(workshop.folder)
    for folder in ("sub", "..", "/etc"):
        with pytest.raises(EnvironmentFailureError, match="outside of the project"):
            workshop.rerun("", folder=folder)


def test_a_result_of_the_repository_is_none_of_the_training(workshop: Workshop) -> None:
    plan = workshop.plan("print('I write nothing')", {"w.pt": b"committed"})
    assert workshop.run(replace(plan, outputs=("w.pt",))).outputs == {}


class TestEnds:
    """However a training ends, mlbom says how, and nothing of it is left."""

    def test_deaf_to_sigterm(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlbom.record.family.Family.end.__defaults__", (0.5,))
        mark = f"mlbom-deaf-{os.getpid()}"
        code = (
            "import signal, subprocess, sys, time\nsignal.signal(15, signal.SIG_IGN)\n"
            "subprocess.Popen([sys.executable, *sys.argv, 'child']) if sys.argv[-1] != 'child'"
            " else 0\nprint('up', flush=True)\ntime.sleep(60)\n"
        )
        command = (PYTHON, "train.py", mark)
        rerun = workshop.rerun(code, command=command, timeout_s=1.5)
        assert rerun.outcome is Outcome.TIMEOUT
        assert rerun.detail == "it did not end within 1.5 seconds"
        assert told(rerun).startswith("up")
        assert await_end(mark) == []

    def test_killed_by_itself(self, workshop: Workshop) -> None:
        rerun = workshop.rerun("import os; os.kill(os.getpid(), 9)")
        assert rerun.outcome is Outcome.KILLED
        assert rerun.detail.startswith("killed by signal 9, SIGKILL")

    def test_a_full_disk(self, workshop: Workshop) -> None:
        if not is_root or not has_namespaces():
            pytest.skip("needs root to mount a small disk")
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(workshop.scratch)]
        subprocess.run(mount, check=True)
        try:
            rerun = workshop.rerun("f = open('f', 'wb')\nwhile True: f.write(bytes(2**20))")
            assert not list(workshop.scratch.iterdir())
        finally:
            subprocess.run(["umount", str(workshop.scratch)], check=True)
        assert rerun.outcome is Outcome.NO_SPACE
        assert "No space left on device" in rerun.detail

    def test_interrupted(self, workshop: Workshop) -> None:
        """Ctrl-C at mlbom ends the training, and the sandbox is gone."""
        with self.started(workshop) as (process, mark):
            process.send_signal(signal.SIGINT)
            process.wait(20)
            assert b"KeyboardInterrupt" in (process.stderr.read() if process.stderr else b"")
            assert await_end(mark) == []
            assert not list(workshop.scratch.iterdir())

    def test_mlbom_itself_is_killed(self, workshop: Workshop) -> None:
        """The training dies with it; the next start removes the rest; its trace stays."""
        with self.started(workshop) as (process, mark):
            process.kill()
            process.wait(20)
            left = await_end(f"leader-{mark}")
            assert left == []
            assert len(list(workshop.scratch.iterdir())) == 1
            remove_abandoned(workshop.scratch)
            assert await_end(mark) == []
            assert not list(workshop.scratch.iterdir())
            assert list((workshop.keep / "run-1" / "trace").iterdir())

    class started:  # noqa: N801 - a context of these tests
        """A process of its own that reruns a training which sleeps, with a child that does too."""

        SCRIPT = (
            "import sys\nfrom pathlib import Path\nfrom tests.fixtures.trainings import Workshop\n"
            "from mlbom.reproduce.rerun import Attempt, Rerunner\n"
            "from mlbom.reproduce.sandbox.plan import SandboxPlan\n"
            "project, keep, scratch, *command = sys.argv[1:]\n"
            "plan = SandboxPlan(command=tuple(command), project=Path(project),"
            " source=Path(project), scratch=Path(scratch))\n"
            "Rerunner(plan, Path(keep)).run(Attempt(label='run-1'))\n"
        )

        def __init__(self, workshop: Workshop) -> None:
            self.workshop = workshop
            self.mark = f"mlbom-sleeper-{os.getpid()}-{time.monotonic_ns()}"

        def __enter__(self) -> "tuple[subprocess.Popen[bytes], str]":
            made = self.workshop
            (made.top / "train.py").write_text(
                "import subprocess, sys, time\n"
                "if 'leader' in sys.argv[1]:\n"
                "    subprocess.Popen([sys.executable, 'train.py', sys.argv[1][7:]])\n"
                "else:\n    open('up', 'w').close()\n"
                "time.sleep(60)\n"
            )
            places = [str(made.top), str(made.keep), str(made.scratch)]
            command = [PYTHON, "-c", self.SCRIPT, *places, PYTHON, "train.py"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(
                [*command, f"leader-{self.mark}"],
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            deadline = time.monotonic() + 20
            while not list(made.scratch.glob("*/src/project/up")):
                assert time.monotonic() < deadline, "the training did not start"
                time.sleep(0.02)
            return self.process, self.mark

        def __exit__(self, *_: object) -> None:
            for pid in running(self.mark):
                os.kill(pid, signal.SIGKILL)
            self.process.wait(10)
            if self.process.stderr:
                self.process.stderr.close()


@needs_namespaces
class TestAsAnOrdinaryUser:
    """A user without privileges gets the same isolation, by a user namespace."""

    SCRIPT = """
import json, os, sys
from pathlib import Path
from mlbom.reproduce.rerun import Attempt, Rerunner
from mlbom.reproduce.sandbox.plan import SandboxPlan
base = Path(sys.argv[1])
plan = SandboxPlan(command=(sys.executable, 'train.py'), project=base / 'project',
                   source=base / 'project', scratch=base / 'scratch')
environment = {**os.environ, 'HOME': str(base / 'user')}
rerun = Rerunner(plan, base / 'keep', None, environment).run(Attempt(label='run-1'))
told = rerun.recording.stdout.read_text(), rerun.recording.stderr.read_text()
print(json.dumps([rerun.outcome, rerun.isolated, *told, os.listdir(base / 'scratch')]))
"""
    CODE = """
import os, socket
print(os.getuid(), os.stat('train.py').st_uid, [name for _, name in socket.if_nameindex()])
print(os.listdir('USER/.ssh'), repr(open('USER/.netrc').read()))
try:
    open('USER/../project/train.py', 'w')
except OSError as error:
    print(error.strerror)
os.makedirs('closed')
open('closed/f', 'w').close()
os.chmod('closed', 0)
"""

    def test_no_network_and_no_keys(self) -> None:
        if not is_root:
            pytest.skip("the other tests run as an ordinary user already")
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        become += ["env", f"PYTHONPATH={ROOT}", "PYTHONDONTWRITEBYTECODE=1"]
        wanted = "import sys, mlbom.reproduce.rerun; assert sys.version_info >= (3, 11)"
        pythons = [PYTHON, shutil.which("python3", path="/usr/bin:/usr/local/bin") or PYTHON]
        usable = [p for p in pythons if self.succeeds([*become, p, "-c", wanted])]
        if not usable:
            pytest.skip("no Python that another user may start")
        with tempfile.TemporaryDirectory() as name:
            base = Path(name).resolve()
            (base / "user" / ".ssh").mkdir(parents=True)
            (base / "user" / ".ssh" / "id").write_text("CANARY")
            (base / "user" / ".netrc").write_text("CANARY")
            (base / "project").mkdir()
            (base / "scratch").mkdir()
            code = self.CODE.replace("USER", str(base / "user"))
            (base / "project" / "train.py").write_text(code)
            for path in (base, *base.rglob("*")):
                os.chown(path, 65534, 65534)
            done = subprocess.run(
                [*become, usable[0], "-c", self.SCRIPT, name], capture_output=True, check=False
            )
        assert done.returncode == 0, done.stderr.decode()
        outcome, isolated, out, err, left = json.loads(done.stdout)
        assert (outcome, isolated, err, left) == (Outcome.FINISHED.value, True, "", [])
        lines = out.splitlines()
        assert lines == ["65534 65534 ['lo']", "[] ''", "Read-only file system"]

    def succeeds(self, command: list[str]) -> bool:
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


@pytest.mark.skipif(not is_root, reason="needs root to take a right away")
def test_a_system_without_namespaces_is_told_and_does_not_stop_the_run(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jail whose every unshare is refused: the training runs, and nothing claims isolation."""
    jail = workshop.folder / "jail.py"
    source = (ROOT / "mlbom" / "reproduce" / "sandbox" / "jail.py").read_text()
    refused = source.replace("_check(_LIBC.unshare(flags))", "raise OSError(1, 'not permitted')")
    assert refused != source
    jail.write_text(refused)
    monkeypatch.setattr("mlbom.reproduce.sandbox.confine._SCRIPT", jail)
    rerun: Rerun = workshop.run(workshop.plan("print(1)"), Attempt(label="bare"))
    assert rerun.outcome is Outcome.FINISHED
    assert not rerun.isolated
    assert rerun.network == "network not isolated: not permitted"
    assert any(text.startswith("keys not hidden") for text in rerun.recording.unseen)
