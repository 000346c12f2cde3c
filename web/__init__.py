"""HTTP: routes, schemas, problem+json, health and metrics."""
