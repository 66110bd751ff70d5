"""Fakes with semantics: a Jira, an ingestion service and a store, with one journal of effects.

They refuse what they do not know. `World` holds them together; nothing here knows a test's purpose.
"""
