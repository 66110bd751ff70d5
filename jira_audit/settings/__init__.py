"""The settings: read once per run into one checked value.

`load.load` reads it; `table.SETTINGS` has one row per setting; `values` has the types.
"""
