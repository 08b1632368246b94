"""Numbers that a run reported: on its output, and in the files of experiment trackers."""
