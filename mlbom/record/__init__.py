"""Record one step as it runs: the launcher, the observers, and the shim inside the child."""
