"""Collectors: each inspects one corner of the project and yields observations and gaps."""
