"""The command line: one file per command, flags in, one pipeline call, exit code out."""
