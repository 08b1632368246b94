"""Renderers: evidence graph to bytes, pure functions."""
