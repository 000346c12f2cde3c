"""The API's description, OpenAPI 3.1: what the handlers check and answer, in one document."""
