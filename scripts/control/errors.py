"""The error of the control commands."""


class ControlError(Exception):
    """A command cannot go on. The message is for the user at the terminal and says what to do."""
