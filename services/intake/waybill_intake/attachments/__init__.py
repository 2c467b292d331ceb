"""Files that people and products send along: taken in as a stream, checked, kept, swept."""
