"""Tickets and their rules: pure, no I/O, no clock of its own."""
