"""Tests of mlbom.reproduce.trials."""
