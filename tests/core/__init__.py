"""The machinery that knows no area."""
