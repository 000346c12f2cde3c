"""The one error of the command line."""


class LoadError(Exception):
    """A command can't go on; the message is a sentence with the cause and the way out."""
