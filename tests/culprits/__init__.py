"""Trainings that differ for one known reason each, and their twins that do not."""
