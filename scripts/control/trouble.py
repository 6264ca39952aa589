"""What goes wrong at this machine, told in a sentence that says what to do."""


class Trouble(Exception):
    """The command cannot go on; the message is for the person at the terminal."""
