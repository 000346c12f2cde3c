"""What every handler shares: errors, parameters, conditional responses, limits."""
