"""The Jira site of the demo and the tests. Not in the package that Azure runs."""
