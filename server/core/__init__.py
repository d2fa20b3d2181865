"""Machinery every area uses; it knows no area."""
