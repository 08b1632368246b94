"""The edges of the chain: between statements, between recorded steps, and what a policy demands."""
