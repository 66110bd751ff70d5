"""Fakes with semantics: a Jira, an ingestion service and a store, with one journal of effects.

They refuse what they do not support. `World` connects them. Nothing here is specific to one test.
"""
