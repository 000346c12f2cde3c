"""The local stack, run natively on loopback."""
