"""The Jira site of the demo and the tests. Not in the package that Azure runs.

It serves an audit log without an account. Nothing here may reach beyond 127.0.0.1, import the rest
of the connector, or be used when collecting from a real site.
"""
