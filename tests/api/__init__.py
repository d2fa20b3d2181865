"""REST, over real HTTP."""
