"""Every rule that a verdict can name: its id, its weight, and the paragraph that explains it."""

from dataclasses import dataclass

from mlbom.status import ExitStatus


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of verification.

    Args:
        id: kebab-case; scripts depend on it.
        status: what the command ends with when the rule is broken; `DONE` is a remark.
        title: one line.
        text: one paragraph, shown by `mlbom explain`.
    """

    id: str
    status: ExitStatus
    title: str
    text: str


_BAD = ExitStatus.UNTRUSTED
_UNKNOWN = ExitStatus.INCOMPLETE
_REMARK = ExitStatus.DONE

RULES = (
    Rule(
        "untrusted-signer",
        _BAD,
        "signed by a key that you did not name as trusted",
        "The bundle names a signer whose public key is not among those you gave. That says nothing "
        "about tampering: it may be another publisher, or a key you do not have yet. Get the key "
        "by another way than the release itself and name it with --key. Nothing in the bundle was "
        "read beyond the signer's fingerprint.",
    ),
    Rule(
        "bad-signature",
        _BAD,
        "the signature does not fit the bytes",
        "The bundle claims a key that you trust, but the signature does not verify with it. The "
        "statement was changed after it was signed, or somebody forged the claim. The payload was "
        "not read.",
    ),
    Rule(
        "wrong-role",
        _BAD,
        "signed by a key that you trust for something else",
        "A key given as ROLE=PUB is trusted for that role alone. This statement belongs to another "
        "role: a release is closed by `release`, its weights are signed by `release`, its BOM by "
        "`bom`. A key given without a role stands for all of them.",
    ),
    Rule(
        "malformed-bundle",
        _BAD,
        "a bundle that does not have the form of one",
        "The file is not a Sigstore bundle of version 0.3 with one DSSE envelope, one signature "
        "and an in-toto payload, or its JSON could be read in two ways (a repeated key, NaN, "
        "base64 with stray bits).",
    ),
    Rule(
        "malformed-statement",
        _BAD,
        "a signed statement that does not have the form of one",
        "The signature is good, but the signed bytes are not an in-toto Statement v1 that can be "
        "read in one way only: it has no subject, a subject without sha256 or with a name that "
        "leads out of its folder, a repeated key, or a number that readers disagree on.",
    ),
    Rule(
        "too-large",
        _BAD,
        "a file made to exhaust the reader",
        "A bundle is at most 64 MiB with at most 4096 JSON values outside its payload; a release "
        "has at most 1024 bundles. What is larger is refused before it is parsed.",
    ),
    Rule(
        "unexpected-predicate",
        _BAD,
        "a statement of a kind that has no place here",
        "The signature is good, but the statement says something that a release does not hold, "
        "for example a verification summary where a BOM belongs. One kind of statement never "
        "stands in for another.",
    ),
    Rule(
        "no-closing-statement",
        _BAD,
        "no attestation closes this release",
        "A release is what its closing statement lists: the model and every file of the output "
        "directory. Without one signed by a key that you trust for `release`, nothing says which "
        "files belong together, so nothing can be trusted.",
    ),
    Rule(
        "several-closing-statements",
        _BAD,
        "more than one statement closes this release",
        "Two closing statements by trusted keys lie in one directory. One of them belongs to "
        "another release, and choosing for you would allow an old one to be slipped in.",
    ),
    Rule(
        "missing-statement",
        _BAD,
        "a required statement is missing",
        "Besides the closing statement a release needs the signed list of model files (OMS) and "
        "the signed BOM, each verified and listed by the closing statement.",
    ),
    Rule(
        "digest-mismatch",
        _BAD,
        "a file is not the one that was signed",
        "The file is there, but its bytes give another digest than the signed one. Every digest "
        "that a statement carries must hold, sha512 as well as sha256.",
    ),
    Rule(
        "ambiguous-root",
        _BAD,
        "two folders could be the model",
        "The release says where the model lies below the folder that was given, and that folder "
        "holds files of the same names itself. Checking one of the two would vouch for the other. "
        "Name the model root itself with --root.",
    ),
    Rule(
        "document-differs",
        _BAD,
        "a document is not what its evidence renders to",
        "With --rerender BOM, card and report are rendered again from evidence.json. One of them "
        "came out different although the same mlbom made it, so somebody changed it before "
        "it was signed: it says something that the evidence does not.",
    ),
    Rule(
        "file-missing",
        _BAD,
        "a file that was signed is not here",
        "A signed statement lists the file, and neither its name nor its bytes were found. Check "
        "--root when it is the model that is missing.",
    ),
    Rule(
        "file-extra",
        _BAD,
        "a file is here that nobody signed",
        "In the output directory and in a model directory every file is listed. One that is not "
        "may be code that a loader picks up.",
    ),
    Rule(
        "file-renamed",
        _BAD,
        "a signed file has another name",
        "The bytes are the signed ones, but under another name, and names bind: a loader chooses "
        "files by name.",
    ),
    Rule(
        "model-file-renamed",
        _REMARK,
        "the model file has another name than when it was signed",
        "A model that is one file may be renamed: it was found by its digest in the same folder. "
        "The verdict does not change.",
    ),
    Rule(
        "not-a-regular-file",
        _BAD,
        "a link or device stands where a file belongs",
        "Statements are about bytes. A link shows other bytes tomorrow, so none is followed, "
        "neither in place of a signed file nor beside one in a model directory.",
    ),
    Rule(
        "unsafe-name",
        _BAD,
        "a name that leads out of its folder",
        "A path in the manifest or the evidence is absolute, holds `..`, a backslash or a control "
        "character. Nothing outside the given folders was read.",
    ),
    Rule(
        "edge-broken",
        _BAD,
        "two statements are not about the same model",
        "Statements are joined by digests: a subject equals the manifest, or a file that the "
        "manifest lists. Here one names a model or a list of files that the other does not.",
    ),
    Rule(
        "bom-differs",
        _BAD,
        "bom.cdx.json is not the BOM that was signed",
        "The signed statement holds the whole BOM. Compared as canonical JSON, it is not the "
        "content of bom.cdx.json.",
    ),
    Rule(
        "malformed-file",
        _BAD,
        "a signed file of the release cannot be understood",
        "The file is the one that was signed, but it is not what its name says, so what rests on "
        "it could not be checked.",
    ),
    Rule(
        "data-differs",
        _BAD,
        "the dataset is not the one that the release names",
        "The manifest of the folder given with --check-data has another digest than the one in "
        "the evidence: a file was changed, added, removed or renamed.",
    ),
    Rule(
        "step-not-reached",
        _BAD,
        "a required check was not reached",
        "The verdict may be good only when every required edge holds. One was neither held nor "
        "failed, so the release is not trusted.",
    ),
    Rule(
        "unreadable",
        _UNKNOWN,
        "a file could not be read",
        "The bytes are there but could not be read, or changed while being read. What is unknown "
        "is never shown as verified.",
    ),
    Rule(
        "not-bound",
        _REMARK,
        "a file beside the model is not part of the release",
        "README.md, model.sig, img, mlbom and .eval_results at the root of a model directory are "
        "left out of the manifest, because publishing adds them. This one equals no file that the "
        "closing statement lists: nobody vouches for it.",
    ),
    Rule(
        "key-in-release",
        _REMARK,
        "a public key or policy lies in the release",
        "It is shown and never used: whoever can change the release can change it too. Get the "
        "publisher's key by another way, and name it with --key.",
    ),
)
RULE_BY_ID = {rule.id: rule for rule in RULES}
