"""The type URIs and media types of statements, envelopes and bundles, each named once."""

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

# Every type that is ours alone hangs on this one prefix.
OWN_TYPES = "urn:mlbom:"
