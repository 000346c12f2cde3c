"""Words and rules of the domain. It imports nothing of ours."""
