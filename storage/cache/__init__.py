"""What is cached, where, and how it is invalidated."""
