"""Weight files made to harm or to deceive whoever inspects them; nothing of them ever runs.

Each attack ends quickly with facts, or with an error that has a code; what loading the file would
import is listed, and what could not be told is never silent.
"""

import builtins
import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlbom.collect.scope import ModelTree, Scope
from mlbom.collect.weights import WeightsCollector
from mlbom.digest.tree import walk_files
from mlbom.errors import LimitError, MalformedError, MlbomError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import CodeSurface, Model
from mlbom.evidence.observation import GapKind
from mlbom.formats.weights import WeightFacts, read_weights
from tests.fixtures import weights as w

# CPU seconds that a single file may take; the acceptance list says one.
QUICK_S = 1.0
T = w.tensor(w.storage("0", 6), [2, 3])


def facts_of(data: bytes, path: str = "model.bin") -> WeightFacts:
    return read_weights(io.BytesIO(data), len(data), path)


def quickly(
    data: bytes, path: str = "model.bin", limit_s: float = QUICK_S
) -> WeightFacts | MlbomError:
    """Read within the time limit; return the facts or the coded error."""
    before = time.process_time()
    try:
        found: WeightFacts | MlbomError = facts_of(data, path)
    except MlbomError as error:
        found = error
    assert time.process_time() - before < limit_s
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that must not exist at the end: payloads would create it."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def graph_of(folder: Path, files: dict[str, bytes]) -> Graph:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    entries = tuple(walk_files(folder))
    tree = ModelTree(
        name=".", root=".", is_directory=True, weights=tuple(sorted(files)), files=entries
    )
    return Graph.of(
        WeightsCollector().collect(
            Scope(path=folder, project_root=folder, entries=entries, model=tree)
        )
    )


# Row 26: sizes beyond everything.


def test_a_safetensors_header_of_two_to_the_63_bytes() -> None:
    error = quickly(w.safetensors_raw(b"{}", length=2**63 - 1), "model.safetensors", 0.1)
    assert isinstance(error, MalformedError)
    assert (
        error.message == "the header announces 9223372036854775807 bytes, the file has 2 after it"
    )


def test_a_safetensors_header_whose_numbers_take_forever() -> None:
    shape = ",".join(["9007199254740992"] * 200_000)
    header = f'{{"a":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}}}'.encode()
    assert isinstance(quickly(w.safetensors_raw(header, bytes(4)), "m.safetensors"), MalformedError)


# Row 27: safetensors that two readers would understand differently.


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            w.safetensors_raw(
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
                bytes(8),
            ),
            "'b' overlaps",
        ),
        (
            w.safetensors_raw(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
                bytes(12),
            ),
            "'b' leaves a gap",
        ),
        (
            w.safetensors_raw(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                bytes(4),
            ),
            "the key 'a' appears twice",
        ),
        (
            w.safetensors_file({"a": ("F32", [1])}) + w.pickle_of(w.system("id")),
            "more than its tensors' 4",
        ),
        (
            w.safetensors_raw(
                b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}'
            ),
            "bits by dtype and shape, 0 bytes",
        ),
    ],
    ids=["overlap", "gap", "duplicate-key", "trailing-pickle", "shape-product-overflow"],
)
def test_safetensors_with_two_meanings(data: bytes, reason: str) -> None:
    error = quickly(data, "model.safetensors")
    assert isinstance(error, MalformedError)
    assert reason in error.message


def test_a_safetensors_file_that_is_a_pickle_too() -> None:
    """The length is SHORT_BINSTRING of 255 bytes; the pickle goes on inside a metadata text.

    Opcodes that are no UTF-8 hide behind a byte C2, which BINPUT takes for its argument.
    """
    module, name = b"multiprocessing.popen_spawn_posix", b"a_function_with_a_name_as_long_as_this"
    evil = b"".join(b"q\xc2\x8c" + bytes([len(t)]) + t for t in (module, name)) + b"q\xc2\x93)R."
    opening = b'{"__metadata__":{"x":"'
    text = opening + b"." * (2 + 255 - 8 - len(opening)) + evil + b'"}}'
    data = w.safetensors_raw(text.ljust(0xFF55))
    assert data[:2] == b"U\xff"
    error = quickly(data)
    assert isinstance(error, MalformedError)
    assert error.message == (
        f"the bytes are a pickle as well, which imports '{module.decode()}.{name.decode()}': "
        "could not tell"
    )


# Row 28: bombs.


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    members = [*w.torch_members(w.pickle_of(T), {"0": 24}), ("archive/data/1", bytes(300_000_000))]
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    error = quickly(path.read_bytes())
    assert isinstance(error, LimitError)
    assert "the limit is 200:1" in error.message


def test_zips_in_zips_are_not_opened() -> None:
    data = w.torch_zip(T, {"0": 24})
    for _ in range(10):
        data = w.zip_of([("archive/data.pkl", w.pickle_of(b"N")), ("archive/inner.zip", data)])
    found = quickly(data)
    assert isinstance(found, WeightFacts)
    assert (found.tensors, found.globals, found.problem) == ((), (), "")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_compression_bomb_names_its_limit(pack: Callable[[bytes], bytes]) -> None:
    error = quickly(pack(b"\x80\x04" + bytes(100_000_000)), "model.pkl", 10)
    assert isinstance(error, LimitError)
    assert "limit" in error.message


# Row 29: pickles made to exhaust.


@pytest.mark.parametrize(
    "body",
    [
        b"]" * 50_000 + b"a" * 49_999,
        b"(" * 50_000 + b"t" * 50_000,
        b"}" + b"".join(w.text("k") + b"}" for _ in range(50_000)) + b"s" * 50_000,
        b"N" + b"\x85" * 200_000,
        w.name_of("a", "b") + b")\x81" * 50_000,
        w.name_of("a", "b") + b"\x85R" * 50_000,
        w.name_of("a", "b") + b")R" + (w.name_of("a", "b") + b")R") * 50_000 + b"b" * 50_000,
        b"Q".join([b"N"] * 2) + b"Q" * 100_000,
    ],
    ids=["lists", "tuples", "dicts", "single-tuples", "new-objects", "calls", "states", "ids"],
)
def test_fifty_thousand_levels(body: bytes) -> None:
    for data in (w.pickle_of(body), w.torch_zip(body, {}), w.torch_legacy(body, {})):
        quickly(data)


@pytest.mark.parametrize(
    "body",
    [
        b"]r\xff\xff\xff\xff" + b"h\x00",
        b"".join(b"]r" + struct.pack("<I", 2**32 - 1 - i) for i in range(50_000)),
        b"](Nq\x00e0]q\x00" + b"".join(b"](" + b"h\x00" * 100 + b"eq\x00" for _ in range(1000)),
        b"]q\x00" + b"h\x00a" * 100_000,
        b"Np999999999999999999999999\n",
        b"]\x94" * 100_000,
    ],
    ids=[
        "far-index",
        "many-far-indexes",
        "nested-references",
        "contains-itself",
        "huge-index",
        "memoize",
    ],
)
def test_a_memo_bomb(body: bytes) -> None:
    for data in (w.pickle_of(body), w.torch_zip(body, {})):
        quickly(data)


@pytest.mark.parametrize(
    "body",
    [
        b"\x8e" + struct.pack("<Q", 2**62),
        b"\x8d" + struct.pack("<Q", 2**62),
        b"\x96" + struct.pack("<Q", 2**64 - 1),
        b"B" + struct.pack("<I", 2**32 - 1),
        b"X" + struct.pack("<I", 2**32 - 1),
        b"\x8b" + struct.pack("<i", -1),
        b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"T" + struct.pack("<i", -(2**31)),
        b"\x95" + struct.pack("<Q", 2**63),
        b"I" + b"9" * 60_000 + b"\n",
        b"L" + b"9" * 60_000 + b"L\n",
        b"F" + b"9" * 60_000 + b"\n",
    ],
)
def test_an_argument_of_impossible_size(body: bytes) -> None:
    quickly(w.pickle_of(body), limit_s=0.2)
    quickly(w.torch_zip(body, {}), limit_s=0.2)


def test_keys_made_to_collide() -> None:
    """Integers of one hash make a dictionary quadratic; tuples of any depth are hashed in C."""
    numbers = [(i * (2**61 - 1)).to_bytes(10, "little", signed=True) for i in range(1, 30_000)]
    body = b"}(" + b"".join(b"\x8a\x0a" + n + b"N" for n in numbers) + b"u"
    quickly(w.pickle_of(body))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce the limit")
def test_memory_stays_within_bounds(tmp_path: Path) -> None:
    """The largest pickle that the budgets let through fits into one gibibyte."""
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x02(" + b"}\x94" * 6_000_000 + b"t.")
    program = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from mlbom.formats.weights import read_weights\n"
        "with open(sys.argv[1], 'rb') as stream:\n"
        "    print(read_weights(stream, os.path.getsize(sys.argv[1]), 'm.pkl').problem)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "the pickle makes more than 4000000 containers, the limit\n"


# Row 31: payloads where a scanner does not look.


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100 + w.pickle_of(w.system("id")),
        b"junk\n" + w.pickle_of(w.system("id")),
        w.pickle_of(b"N") + w.pickle_of(w.system("id")),
        w.pickle_of(b"N") + b"\x00" * 5000 + w.pickle_of(w.system("id")),
        w.pickle_of(b"N") + pickle.dumps({"a": 1}, 0)[:-1] + w.system("id") + b".",
        w.pickle_of(w.system("id"))[:-1],
        w.pickle_of(w.system("id"))[:-1] + b"\xff" * 50,
        w.pickle_of(b"X\xff\xff\xff\x7f") + w.pickle_of(w.system("id")),
        w.torch_legacy(w.system("id"), {}),
        w.torch_zip(w.dict_of({"a": T, "x": w.system("id")}), {"0": 24}),
        w.zip_of(w.torch_members(w.pickle_of(T) + w.pickle_of(w.system("id")), {"0": 24})),
        gzip.compress(w.pickle_of(w.system("id"))),
    ],
    ids=[
        "nul-prefix",
        "junk-prefix",
        "second-stream",
        "behind-zeros",
        "second-stream-protocol-0",
        "truncated",
        "broken-after-the-call",
        "swallowed-by-a-size",
        "old-layout",
        "archive",
        "archive-second-stream",
        "gzip",
    ],
)
@pytest.mark.parametrize("path", ["pytorch_model.bin", "model.pkl", "model.pt"])
def test_the_payload_is_listed(data: bytes, path: str) -> None:
    found = quickly(data, path)
    assert isinstance(found, WeightFacts)
    assert "posix.system" in found.globals
    assert found.code_kind == "pickle-globals"


def test_a_truncated_pickle_says_so() -> None:
    found = facts_of(w.pickle_of(w.system("id"))[:-1])
    assert found.problem.startswith("the pickle ends without STOP")


def test_what_follows_a_pickle_says_so() -> None:
    found = facts_of(w.pickle_of(b"]") + b"\xff" * 100)
    assert found.problem.startswith("100 bytes behind the pickle are no pickle: ")


# Archives that blind scanners (CVE-2025-1944, CVE-2025-1945, CVE-2025-10156 and kin).


def flagged(data: bytes) -> bytes:
    changed = bytearray(data)
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", changed, changed.index(marker) + offset, 1)
    return bytes(changed)


def renamed_in_the_header(data: bytes) -> bytes:
    return data.replace(b"archive/data.pkl", b"archive/data.txt", 1)


def wrong_checksum(data: bytes) -> bytes:
    changed = bytearray(data)
    for marker, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        struct.pack_into("<I", changed, changed.index(marker) + offset, 1)
    return bytes(changed)


def behind_a_prefix(data: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(60) + data


def with_a_second_end(data: bytes) -> bytes:
    return data + data[data.rindex(b"PK\x05\x06") :]


@pytest.mark.parametrize(
    "trick", [flagged, renamed_in_the_header, wrong_checksum, behind_a_prefix, with_a_second_end]
)
def test_an_archive_that_scanners_read_otherwise(trick: Callable[[bytes], bytes]) -> None:
    error = quickly(trick(w.torch_zip(w.system("id"), {})))
    assert isinstance(error, MalformedError)


def test_an_archive_with_two_pickles_of_one_name() -> None:
    good, bad = w.pickle_of(T), w.pickle_of(w.system("id"))
    members = [("archive/data.pkl", good), ("archive/data.pkk", bad), ("archive/data/0", bytes(24))]
    error = quickly(w.zip_of(members).replace(b"data.pkk", b"data.pkl"))
    assert isinstance(error, MalformedError)
    assert "two members" in error.message


# The whole collector.


def test_no_payload_runs_and_nothing_is_imported(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"touch {canary}"
    legacy = w.torch_legacy(w.dict_of({"a": w.system(command)}), {})
    (tmp_path / "m").mkdir()
    files = {
        "a.pkl": w.pickle_of(w.system(command)),
        "b.bin": w.torch_zip(w.system(command), {}),
        "c.pt": legacy,
        "d.joblib": gzip.compress(w.pickle_of(w.system(command))),
        "e.pkl": w.pickle_of(
            w.call(w.name_of("builtins", "eval"), w.text(f"open({str(canary)!r}, 'w')"))
        ),
        "f.pkl": w.pickle_of(w.name_of("this_module_is_not", "there")),
        "g.pkl": w.pickle_of(w.name_of("antigravity", "x")),
    }

    def forbidden(*args: object, **_: object) -> None:
        message = f"called with {args}"
        raise AssertionError(message)

    monkeypatch.setattr(os, "system", forbidden)
    monkeypatch.setattr(builtins, "eval", forbidden)
    for loader in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, loader, forbidden)
    graph = graph_of(tmp_path / "m", files)
    assert len(graph.nodes(CodeSurface)) == len(files)
    assert "antigravity" not in sys.modules
    assert not [g for g in graph.gaps if g.kind is GapKind.UNREADABLE]


def test_one_hostile_file_does_not_hide_the_others(tmp_path: Path) -> None:
    good = w.safetensors_file({"a": ("F32", [2])})
    graph = graph_of(
        tmp_path,
        {
            "bad.bin": b"PK\x03\x04" + bytes(100),
            "good.safetensors": good,
            "worse.pkl": b"\x80\x02\xff",
        },
    )
    model = graph.node(Model, "model:.")
    assert model is not None
    assert model.parameters == 2
    assert {g.subject for g in graph.gaps if g.kind is GapKind.UNREADABLE} == {
        "weights:bad.bin",
        "weights:worse.pkl",
    }


def test_names_in_a_pickle_cannot_reach_the_terminal(tmp_path: Path) -> None:
    body = w.text("os\x1b]0;owned\x07") + w.text("system\n\x1b[2J") + b"\x93"
    (surface,) = graph_of(tmp_path, {"a.pkl": w.pickle_of(body)}).nodes(CodeSurface)
    assert not any("\x1b" in name or "\x07" in name for name in surface.names)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_in_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    """Row 38."""
    os.mkfifo(tmp_path / "model.safetensors")
    tree = ModelTree(
        name=".", root=".", is_directory=True, weights=("model.safetensors",), files=()
    )
    graph = Graph.of(
        WeightsCollector().collect(
            Scope(path=tmp_path, project_root=tmp_path, entries=(), model=tree)
        )
    )
    assert [g.kind for g in graph.gaps if g.subject == "weights:model.safetensors"] == [
        GapKind.UNREADABLE
    ]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless device on this system")
def test_an_endless_file_in_place_of_weights_is_not_read(tmp_path: Path) -> None:
    """Row 38: a link to an endless device is not followed either."""
    (tmp_path / "model.safetensors").symlink_to("/dev/zero")
    tree = ModelTree(
        name=".",
        root=".",
        is_directory=True,
        weights=("model.safetensors",),
        files=tuple(walk_files(tmp_path)),
    )
    graph = Graph.of(
        WeightsCollector().collect(
            Scope(path=tmp_path, project_root=tmp_path, entries=(), model=tree)
        )
    )
    assert [g.kind for g in graph.gaps if g.subject == "weights:model.safetensors"] == [
        GapKind.UNREADABLE
    ]
