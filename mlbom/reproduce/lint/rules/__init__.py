"""The rules of the lint: one function each, which reads parsed files and yields what it hits."""
