"""What stands in sql/, and what a real PostgreSQL makes of it."""
