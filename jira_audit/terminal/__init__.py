"""The command line, one file per command. Not in the package that Azure runs.

The commands need the extra `terminal`.
"""
