"""The clock: it only knocks; the database knows what is due."""
