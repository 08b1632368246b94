"""Bounded readers of untrusted bytes: nothing that they read is ever executed."""
