"""The bytes of tensors in weight files, found without loading the file and read in pieces."""
