"""Rules about files: the output directory, the model tree, archives and datasets."""

from mlbom.verify.rules.rule import BAD, REMARK, UNKNOWN, Rule

RULES = (
    Rule(
        "digest-mismatch",
        BAD,
        "a file is not the one that was signed",
        "The file is there, but its bytes give another digest than the signed one. Every digest "
        "that a statement carries must hold, sha512 as well as sha256.",
    ),
    Rule(
        "ambiguous-root",
        BAD,
        "two folders could be the model",
        "The release says where the model lies below the folder that was given, and that folder "
        "holds files of the same names itself. Checking one of the two would vouch for the other. "
        "Name the model root itself with --root.",
    ),
    Rule(
        "document-differs",
        BAD,
        "a document is not what its evidence renders to",
        "With --rerender BOM, card and report are rendered again from evidence.json. One of them "
        "came out different although the same mlbom made it, so somebody changed it before "
        "it was signed: it says something that the evidence does not.",
    ),
    Rule(
        "file-missing",
        BAD,
        "a file that was signed is not here",
        "A signed statement lists the file, and neither its name nor its bytes were found. Check "
        "--root when it is the model that is missing.",
    ),
    Rule(
        "file-extra",
        BAD,
        "a file is here that nobody signed",
        "In the output directory and in a model directory every file is listed. One that is not "
        "may be code that a loader picks up.",
    ),
    Rule(
        "file-renamed",
        BAD,
        "a signed file has another name",
        "The bytes are the signed ones, but under another name, and names bind: a loader chooses "
        "files by name.",
    ),
    Rule(
        "model-file-renamed",
        REMARK,
        "the model file has another name than when it was signed",
        "A model that is one file may be renamed: it was found by its digest in the same folder. "
        "The verdict does not change.",
    ),
    Rule(
        "not-a-regular-file",
        BAD,
        "a link or device stands where a file belongs",
        "Statements are about bytes. A link shows other bytes tomorrow, so none is followed, "
        "neither in place of a signed file nor beside one in a model directory.",
    ),
    Rule(
        "unsafe-name",
        BAD,
        "a name that leads out of its folder",
        "A path in the manifest or the evidence is absolute, holds `..`, a backslash or a control "
        "character. Nothing outside the given folders was read.",
    ),
    Rule(
        "malformed-file",
        BAD,
        "a signed file of the release cannot be understood",
        "The file is the one that was signed, but it is not what its name says, so what rests on "
        "it could not be checked.",
    ),
    Rule(
        "data-differs",
        BAD,
        "the dataset is not the one that the release names",
        "The manifest of the folder given with --check-data has another digest than the one in "
        "the evidence: a file was changed, added, removed or renamed.",
    ),
    Rule(
        "unreadable",
        UNKNOWN,
        "a file could not be read",
        "The bytes are there but could not be read, or changed while being read. What is unknown "
        "is never shown as verified.",
    ),
    Rule(
        "not-bound",
        REMARK,
        "a file beside the model is not part of the release",
        "README.md, model.sig, img, mlbom and .eval_results at the root of a model directory are "
        "left out of the manifest, because publishing adds them. This one equals no file that the "
        "closing statement lists: nobody vouches for it.",
    ),
    Rule(
        "key-in-release",
        REMARK,
        "a public key or policy lies in the release",
        "It is shown and never used: whoever can change the release can change it too. Get the "
        "publisher's key by another way, and name it with --key.",
    ),
    Rule(
        "unsafe-archive",
        BAD,
        "an archive that two programs could unpack differently",
        "A release in a ZIP file holds one release directory of plain files. A member whose name "
        "leads out of it, a link, two members of one name, or headers that disagree are refused; "
        "nothing of the archive was kept.",
    ),
)
