"""What takes minutes: whole trainings that run again (`make test-slow`)."""
