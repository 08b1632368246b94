"""in-toto statements, DSSE envelopes and Sigstore bundles as data: no private keys, no I/O."""
