"""Unit tests of `mlbom.attest`."""
