"""Erasure of entities, and the ledger of erasures."""
