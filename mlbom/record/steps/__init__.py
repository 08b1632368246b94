"""What a training did step by step, and op by op: the values, their files, their root."""
