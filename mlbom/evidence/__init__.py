"""The evidence graph: what is known about a project, and who witnessed it."""
