"""Tests of `mlbom.reproduce`."""
