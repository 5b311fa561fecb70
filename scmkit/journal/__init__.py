"""What is written down before it happens, in one SQLite file."""
