"""Compares two files of weights: container, names, dtypes, shapes, bits, distances."""
