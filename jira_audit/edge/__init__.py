"""The edge: one module for each thing outside. Edge modules know the core, never each other."""
