"""The pure core: rules and values. No client library, clock or environment; no input or output."""
