"""Writers: a batch becomes one transaction."""
