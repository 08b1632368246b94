"""Tests of the bounded readers."""
