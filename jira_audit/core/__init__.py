"""The pure core: rules and values. No client library, clock, environment, input or output."""
