"""Tables and every SQL statement.

Locks are waited for in one order: tickets by id, then agents by id. What waits in a queue is
locked only if it is free (`SKIP LOCKED`), so that may come last.
"""
