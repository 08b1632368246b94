"""Rules about the chain: which statements a release needs, and how they hang together."""

from mlbom.verify.rules.rule import BAD, BELOW, REMARK, Rule

RULES = (
    Rule(
        "no-closing-statement",
        BAD,
        "no attestation closes this release",
        "A release is what its closing statement lists: the model and every file of the output "
        "directory. Without one signed by a key that you trust for `release`, nothing says which "
        "files belong together, so nothing can be trusted.",
    ),
    Rule(
        "several-closing-statements",
        BAD,
        "more than one statement closes this release",
        "Two closing statements by trusted keys lie in one directory. One of them belongs to "
        "another release, and choosing for you would allow an old one to be slipped in.",
    ),
    Rule(
        "missing-statement",
        BAD,
        "a required statement is missing",
        "Besides the closing statement a release needs the signed list of model files (OMS) and "
        "the signed BOM, each verified and listed by the closing statement.",
    ),
    Rule(
        "edge-broken",
        BAD,
        "two statements are not about the same model",
        "Statements are joined by digests: a subject equals the manifest, or a file that the "
        "manifest lists. Here one names a model or a list of files that the other does not.",
    ),
    Rule(
        "bom-differs",
        BAD,
        "bom.cdx.json is not the BOM that was signed",
        "The signed statement holds the whole BOM. Compared as canonical JSON, it is not the "
        "content of bom.cdx.json.",
    ),
    Rule(
        "step-not-reached",
        BAD,
        "a required check was not reached",
        "The verdict may be good only when every required edge holds. One was neither held nor "
        "failed, so the release is not trusted.",
    ),
    Rule(
        "unrelated-record",
        BAD,
        "a recorded step that has nothing to do with this model",
        "The record is well signed, but nothing that it names is a file of this model, and nothing "
        "that a step leading to the model has read. It belongs to other weights: a release holds "
        "only the records of its own.",
    ),
    Rule(
        "failed-run",
        BAD,
        "a step that failed is presented as the one that made a file",
        "The record says that the command ended with an error or by a signal. What it left behind "
        "is not a result, and nobody vouches for it.",
    ),
    Rule(
        "failed-evaluation",
        REMARK,
        "an evaluation that failed",
        "The record says that the evaluation's command ended with an error. It does not count as "
        "an evaluation; the weights are judged by the other statements.",
    ),
    Rule(
        "time-reversed",
        BAD,
        "a step read a file before the step that wrote it had finished",
        "Times are compared between records only. A step begins after the steps whose outputs it "
        "reads have ended; here it is the other way round, so one of the records is not about "
        "what happened.",
    ),
    Rule(
        "cycle",
        BAD,
        "steps that each come from the other",
        "Following what each step read leads back to where it began. Nothing can be made from "
        "itself, so the records contradict each other.",
    ),
    Rule(
        "not-passed",
        REMARK,
        "somebody whom you trust says that this release did not pass",
        "A verdict or test result by a signer with the role says FAILED, or warns. It is shown for "
        "you to read; your own verdict follows from what was checked here.",
    ),
    Rule(
        "reproduction-inconclusive",
        REMARK,
        "somebody trained again, and nobody can tell what came out of it",
        "The test result of a rebuilder warns: the environment was another one, a run was stopped, "
        "or something that decides was not seen. It counts neither for the release nor against it.",
    ),
    Rule(
        "reproduction-contradicts",
        BAD,
        "one key states two things about one reproduction",
        "The summary and the test result of a reproduction name the same details, and tell another "
        "level, other weights or another original. One of them is not about what happened, so "
        "neither counts.",
    ),
    Rule(
        "threshold-not-met",
        BAD,
        "too few distinct keys have signed a step",
        "Your policy wants several signers for this step. Keys are counted by their material: one "
        "key under two names, or in two files, is one signer.",
    ),
    Rule(
        "policy-rule",
        BAD,
        "a step does not say what your policy demands",
        "The statement is well signed, and its content breaks a rule of your policy: an attribute "
        "has another value, or the step read or wrote a file that the policy does not allow.",
    ),
    Rule(
        "wrong-model",
        BAD,
        "the release is about another model than your policy",
        "The purl in the closing statement does not fit the model that the policy names. A good "
        "release of one model never stands in for another.",
    ),
    Rule(
        "version-missing",
        BAD,
        "the release has no version of its own",
        "Without --release VERSION a release is called 0+ and digits of its manifest, which have "
        "no order. Your policy wants a version that can be compared.",
    ),
    Rule(
        "version-too-low",
        BAD,
        "the release is older than your policy accepts",
        "The version in the closing statement is lower than the policy's min-version, or cannot be "
        "compared with it.",
    ),
    Rule(
        "withdrawn",
        BAD,
        "the release was withdrawn",
        "Your policy, or a signed list that it names, recalls this very manifest or version. The "
        "message gives the reason.",
    ),
    Rule(
        "too-old",
        BAD,
        "the release was closed longer ago than your policy accepts",
        "Somebody may be keeping newer releases from you. The age is counted from a trusted time "
        "of the closing signature, never from a file's date.",
    ),
    Rule(
        "no-trusted-time",
        BAD,
        "nothing proves how old the release is",
        "Your policy bounds the age of a release. Only a timestamp by an authority that it names, "
        "or a log entry, tells that age, and the closing signature has none.",
    ),
    Rule(
        "rollback",
        BAD,
        "an older release than one that you have verified before",
        "Your memory of earlier verifications (--state) holds a higher version of this model. An "
        "old release may be played again to bring back a flaw.",
    ),
    Rule(
        "version-reused",
        BAD,
        "the same version was seen with other files",
        "Your memory holds this version of this model with another manifest. A version names one "
        "set of files for ever.",
    ),
    Rule(
        "pin-changed",
        BAD,
        "the model is closed by another signer than before",
        "Your memory pins the signer who closed this model the last time, and a key given with "
        "--key is trusted for any model. When the publisher really has a new key, name it in a "
        "policy.",
    ),
    Rule(
        "signer-changed",
        REMARK,
        "the model is closed by another signer than before, whom your policy names",
        "Your memory knows another signer of this model. The policy trusts the new one, so this is "
        "told and no more.",
    ),
    Rule(
        "not-remembered",
        REMARK,
        "the release was verified, and could not be added to your memory",
        "The memory of earlier verifications in your state directory cannot be written, so an "
        "older release played again will not be noticed. --state FILE names another place.",
    ),
    Rule(
        "version-unordered",
        REMARK,
        "two versions that cannot be compared",
        "Your memory holds a version of this model that has no order with this one, so that nobody "
        "can tell which is newer.",
    ),
    Rule(
        "quality",
        BELOW,
        "the release is below what your policy demands of its quality",
        "Everything that trust rests on is judged apart from this: the evidence has too many gaps, "
        "a metric is too low or missing, or nobody reproduced the weights closely enough.",
    ),
)
