"""What an administrator can set, read once a run into one checked value.

`load.load` reads it; `table.SETTINGS` has a row for each setting; `values` are what comes of them.
"""
