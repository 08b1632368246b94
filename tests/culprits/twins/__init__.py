"""The same trainings with that reason taken away: they repeat themselves bit for bit."""
