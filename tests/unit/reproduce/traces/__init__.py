"""Tests of mlbom.reproduce.traces."""
