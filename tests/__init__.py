"""Tests of mlbom; folders mirror the package."""
