"""Conversations: who talks with whom, what was said, and how far everybody has read."""
