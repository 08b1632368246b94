"""Tests of mlbom.reproduce.localise."""
