"""Re-trains, compares, names the first divergence, and says how far the result agrees."""
