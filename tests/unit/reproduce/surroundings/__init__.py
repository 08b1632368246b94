"""Tests of mlbom.reproduce.surroundings."""
