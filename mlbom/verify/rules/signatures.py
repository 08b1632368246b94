"""Rules about bundles: who signed, when, and whether the bytes have the form of a statement."""

from mlbom.verify.rules.rule import BAD, REMARK, UNKNOWN, Rule

RULES = (
    Rule(
        "untrusted-signer",
        BAD,
        "signed by a key that you did not name as trusted",
        "The bundle names a signer whose public key is not among those you gave. That says nothing "
        "about tampering: it may be another publisher, or a key you do not have yet. Get the key "
        "by another way than the release itself and name it with --key. Nothing in the bundle was "
        "read beyond the signer's fingerprint.",
    ),
    Rule(
        "bad-signature",
        BAD,
        "the signature does not fit the bytes",
        "The bundle claims a key that you trust, but the signature does not verify with it. The "
        "statement was changed after it was signed, or somebody forged the claim. The payload was "
        "not read.",
    ),
    Rule(
        "wrong-role",
        BAD,
        "signed by a key that you trust for something else",
        "A key given as ROLE=PUB is trusted for that role alone. This statement belongs to another "
        "role: a release is closed by `release`, its weights are signed by `release`, its BOM by "
        "`bom`. A key given without a role stands for all of them.",
    ),
    Rule(
        "malformed-bundle",
        BAD,
        "a bundle that does not have the form of one",
        "The file is not a Sigstore bundle of version 0.3 with one DSSE envelope, one signature "
        "and an in-toto payload, or its JSON could be read in two ways (a repeated key, NaN, "
        "base64 with stray bits).",
    ),
    Rule(
        "malformed-statement",
        BAD,
        "a signed statement that does not have the form of one",
        "The signature is good, but the signed bytes are not an in-toto Statement v1 that can be "
        "read in one way only: it has no subject, a subject without sha256 or with a name that "
        "leads out of its folder, a repeated key, or a number that readers disagree on.",
    ),
    Rule(
        "too-large",
        BAD,
        "a file made to exhaust the reader",
        "A bundle is at most 64 MiB with at most 4096 JSON values outside its payload; a release "
        "has at most 1024 bundles, of 256 MiB together. What is larger is refused before it is "
        "parsed.",
    ),
    Rule(
        "unexpected-predicate",
        BAD,
        "a statement of a kind that has no place here",
        "The signature is good, but the statement says something that a release does not hold, "
        "for example a verification summary where a BOM belongs. One kind of statement never "
        "stands in for another.",
    ),
    Rule(
        "bad-certificate",
        BAD,
        "the certificate, its log entry or its chain does not hold",
        "The bundle carries a certificate instead of naming a key. Its chain must lead to your "
        "trust root, it must have been valid when the signature was made, and for a keyless "
        "signature the transparency log must vouch for the entry. A certificate that expired "
        "before that time counts for nothing, even where the reference tool accepts it.",
    ),
    Rule(
        "bad-timestamp",
        BAD,
        "the timestamp does not prove when the signature was made",
        "The bundle carries an RFC 3161 timestamp that is about another signature, cannot be read, "
        "or does not hold by the timestamp authorities of your policy: the chain must be valid at "
        "the token's time, and the certificate must be for time stamping.",
    ),
    Rule(
        "revoked-key",
        BAD,
        "the signer was revoked before the signature was made",
        "From the time of its revocation a key counts for nothing. An older signature still does, "
        "but only when a trusted timestamp or log entry proves that it is older.",
    ),
    Rule(
        "expired-key",
        BAD,
        "the signature was made after the signer's time was over",
        "Your policy trusts this signer until an earlier day. A signature from before that day "
        "counts when a trusted timestamp or log entry proves its time; without one it is taken to "
        "be from now.",
    ),
    Rule(
        "not-yet-valid",
        BAD,
        "the signature was made before the signer became trusted",
        "Your policy trusts this signer from a later day on. Whoever signed earlier with this key "
        "was not yet the one whom you trust.",
    ),
    Rule(
        "surplus-signature",
        REMARK,
        "a signature that does not hold, beyond those that your policy counts",
        "Your policy names the steps of the chain and how many keys must sign each. This bundle "
        "is not among those that count: its signer is not trusted, or its signature or time does "
        "not hold and another good signature is over the same bytes. Nothing that it says was "
        "used. Without a policy of steps it would be refused.",
    ),
    Rule(
        "library-missing",
        UNKNOWN,
        "a signature could not be checked, because a library is not installed",
        "Certificates and timestamps are checked with sigstore and rfc3161-client, which come with "
        "the extra `sigstore`: pip install 'mlbom[sigstore]'. What was not checked is never shown "
        "as verified.",
    ),
)
