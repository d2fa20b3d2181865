"""FitSync: one real-time server for personal-training businesses and their community."""
