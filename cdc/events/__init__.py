"""Changes become domain events."""
