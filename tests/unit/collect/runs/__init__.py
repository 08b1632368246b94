"""Tests of recorded runs: reading, joining, observing."""
