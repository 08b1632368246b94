"""Compares two trainings step by step: the first difference, segments, what pictures show."""
