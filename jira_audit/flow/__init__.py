"""The steps of a run, in order. No client library, and no clock of its own."""
