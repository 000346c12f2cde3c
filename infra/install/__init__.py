"""How programs come onto this machine: apt, Maven, PyPI. Idempotent, atomic, and locked."""
