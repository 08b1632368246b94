"""A reproduction for people: one HTML file, and a page of text for the terminal."""
