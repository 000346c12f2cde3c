"""What every answer tells a browser: keep to the declared type, tell nobody the address, and do nothing with it.

An answer with a policy of its own, as the pages have, keeps that.
"""

from typing import Final

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",  # for browsers that know no frame-ancestors
}
LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
