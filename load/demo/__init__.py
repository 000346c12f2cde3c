"""`make demo`: the main job on a fresh machine, from source events to answers and domain events."""
