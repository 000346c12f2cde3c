"""The loop that feeds an agent: windows, retries, progress."""
