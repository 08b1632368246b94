"""What a training runs on: then and now, and the variables that hold it still."""
