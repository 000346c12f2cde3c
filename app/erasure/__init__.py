"""Erasures outside of the database: dead letters about erased entities, the ledger as a file."""
