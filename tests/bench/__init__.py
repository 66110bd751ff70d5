"""Measurements of whole processes, for people to read. Nothing here passes or fails."""
