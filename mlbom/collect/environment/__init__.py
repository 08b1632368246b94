"""A Python environment read from its files: where it lies, what is installed, how licensed."""
