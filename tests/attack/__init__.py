"""Attacks, each a test with a name."""
