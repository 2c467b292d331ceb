"""kb's tables and every SQL statement."""
