"""What a run does, in order. No client library, no clock of its own."""
