"""Tests of the sandbox that a training runs again in."""
