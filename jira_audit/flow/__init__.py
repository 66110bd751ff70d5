"""The steps of a run, in order. No client library, no clock."""
