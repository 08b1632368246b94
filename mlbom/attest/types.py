"""The type URIs, media types and fixed words of statements, envelopes and bundles, each once."""

# in-toto/attestation spec/v1/statement.md and spec/v1/envelope.md
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

# sigstore/protobuf-specs protos/sigstore_bundle.proto, version 0.3
BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

# Predicates. OMS: ossf/model-signing-spec v1.0 section 5; the others: in-toto/attestation
# spec/predicates/{cyclonedx,release}.md.
OMS_PREDICATE = "https://model_signing/signature/v1.0"
CYCLONEDX_PREDICATE = "https://cyclonedx.org/bom"
RELEASE_PREDICATE = "https://in-toto.io/attestation/release/v0.1"
# slsa.dev/spec/v1.1/{provenance,verification_summary}; in-toto/attestation
# spec/predicates/{test-result,svr}.md.
PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1"
VSA_PREDICATE = "https://slsa.dev/verification_summary/v1"
TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
SVR_PREDICATE = "https://in-toto.io/attestation/svr/v0.2"

# How a test result and a verification summary say what came out; only the former warns.
PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"

# Digest algorithms of the imprint in a timestamp, by object identifier (RFC 5754 section 2).
IMPRINTS = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}

# Every type that is ours alone hangs on this one prefix.
OWN_TYPES = "urn:mlbom:"
