"""Dead letters: their format, where they go, what operators do with them."""
