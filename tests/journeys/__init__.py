"""What a newcomer does first, from beginning to end, with real processes."""
