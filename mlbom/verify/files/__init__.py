"""The bytes: the output directory, the model tree, datasets, archives, and handing them over."""
