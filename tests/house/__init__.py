"""The conventions of the house, as tests: they say what a new area has forgotten."""
