"""Text of strangers, made safe for a terminal or a log line."""


def printable(text: str) -> str:
    """The text with control characters and the like escaped, so on one line."""
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")
