"""Verification: bytes from strangers and keys from the caller become a verdict."""
