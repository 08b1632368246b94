"""Reads training code, without running it, for what makes trainings differ."""
