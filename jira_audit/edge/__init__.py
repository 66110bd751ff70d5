"""One module for each external service. Edge modules import the core, never each other."""
