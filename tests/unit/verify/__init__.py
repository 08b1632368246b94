"""Unit tests of `mlbom.verify`."""
