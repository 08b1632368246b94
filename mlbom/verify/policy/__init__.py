"""What the caller demands: a policy as values, how its file is read, and its rules."""
