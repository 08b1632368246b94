"""Tests of mlbom.record."""
