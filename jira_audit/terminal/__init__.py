"""The command line, one file a command. Not in the package that Azure runs."""
