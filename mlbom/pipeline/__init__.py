"""The use cases as short lists of stages: the one place where their order is written down."""
