"""Unit tests of `mlbom.sign`."""
