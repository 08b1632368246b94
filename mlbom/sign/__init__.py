"""Signers: a key URI and bytes become a signed bundle."""
