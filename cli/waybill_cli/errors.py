"""What can go wrong for the person at the terminal, said in one line."""


class StackError(Exception):
    """A part cannot start or answer; the message says what happened and what would help."""
