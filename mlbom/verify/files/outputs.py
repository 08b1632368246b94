"""The output directory against its closing statement: every listed file, and no other."""

from collections.abc import Collection, Mapping

from mlbom.attest.classic import LINK_SUFFIX
from mlbom.attest.publickey import MAX_BYTES as MAX_KEY_BYTES
from mlbom.attest.publickey import parse_public_key
from mlbom.attest.subjects import MANIFEST, ReleaseSubjects
from mlbom.errors import PublicKeyError, UnreadableError
from mlbom.verify.files.compare import differing
from mlbom.verify.files.directory import BUNDLES, ReleaseDirectory
from mlbom.verify.files.measure import hold_against
from mlbom.verify.verdict import Ledger, counted

EDGE_OUTPUTS = "closing statement -> output directory"
# Documents that are parsed, and the most bytes of each.
DOCUMENTS = {MANIFEST: 2**28, "evidence.json": 2**28, "bom.cdx.json": 2**26}
# Documents that `--rerender` compares; a release may lack them.
RENDERINGS = {"MODEL_CARD.md": 2**26, "report.html": 2**26}
_KEY_SUFFIXES = (".pub", ".pem")
_POLICY_NAMES = ("mlbom-policy.yaml", "root.layout")


def check_outputs(
    ledger: Ledger,
    directory: ReleaseDirectory,
    subjects: ReleaseSubjects,
    without: Collection[str],
) -> Mapping[str, bytes]:
    """Hold the output directory against the closing statement.

    Args:
        ledger: takes the problems and the edge.
        directory: the output directory.
        subjects: those of the closing statement, which lists every other file.
        without: the bundles of the closing statement, and those made after it.

    Returns:
        the bytes of each document that is the signed one, by name; only these may be parsed.
    """
    since = len(ledger.problems)
    listed = {path: subject.digests for path, subject in subjects.outputs.items()}
    read: dict[str, bytes] = {}
    for name, limit in {**DOCUMENTS, **RENDERINGS}.items():
        if name not in listed:
            if name in RENDERINGS:
                continue
            message = f"the closing statement does not list {name}"
            ledger.problem("file-missing", message, name)
            continue
        try:
            read[name] = directory.read(name, limit)
        except UnreadableError:
            continue  # What stands there instead is named below.
    wide = any("sha512" in digests for digests in listed.values())
    algorithms = ("sha256", "sha512") if wide else ("sha256",)
    measured = directory.measure(algorithms, without=without)
    hold_against(ledger, listed, measured, "the closing statement")
    checked = f"names and digests of {counted(len(listed), 'file')}"
    why = "every file is the signed one, and no other lies there"
    ledger.judge(EDGE_OUTPUTS, checked, since, why)
    return {
        name: data
        for name, data in read.items()
        if not differing(listed[name], directory.digests_read(name))
    }


def show_links(ledger: Ledger, subjects: ReleaseSubjects) -> None:
    """Note the classic links of a release: bound byte for byte, for in-toto-verify to judge."""
    for path in sorted(subjects.outputs):
        if path.startswith(BUNDLES) and path.endswith(LINK_SUFFIX):
            why = "bound by its digest; what it says is for in-toto-verify and a layout"
            ledger.not_checked(f"link {path}", "nothing of its content", why)


def show_keys(ledger: Ledger, directory: ReleaseDirectory) -> None:
    """Remark on public keys and policies that lie in the release: they are never used."""
    for entry in directory.files():
        name = entry.path.rsplit("/", 1)[-1]
        if name in _POLICY_NAMES:
            message = f"{entry.path} lies in the release and is not used as a policy"
            ledger.problem("key-in-release", message, entry.path)
        if not name.endswith(_KEY_SUFFIXES):
            continue
        try:
            key = parse_public_key(directory.read(entry.path, MAX_KEY_BYTES), entry.path)
        except (UnreadableError, PublicKeyError):
            continue  # No key: judged as any other file.
        message = f"{entry.path} is the public key {key.hint}; it lies in the release: not used"
        ledger.problem("key-in-release", message, entry.path)
