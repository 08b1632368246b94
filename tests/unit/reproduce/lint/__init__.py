"""Tests of the lint of training code."""
