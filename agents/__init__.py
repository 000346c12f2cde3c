"""One module per normalised topic: decode, fold and hand over to the writer."""
