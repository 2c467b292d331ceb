"""Tickets found by any of their fields: what is kept for it, how it is asked."""
