"""reproduce: record or command -> clean clone -> runs -> comparison -> verdict -> statements."""
