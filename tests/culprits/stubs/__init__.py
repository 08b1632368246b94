"""Stand-ins for what a training would reach over the network."""
