"""Where a training runs again: a clean clone, fresh folders, few variables, no network."""
