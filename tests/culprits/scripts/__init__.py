"""Small trainings that differ from run to run, each for one reason; the line is marked CULPRIT."""
