"""Files to digests: walk, hash, manifest, cache."""
