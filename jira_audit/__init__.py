"""The Jira audit connector: Jira Cloud's audit log into Microsoft Sentinel's `Jira_Audit_CL`.

Begin with `app.py` (wiring), then `collect.py` (the flow). Importing anything here has no effect.
"""

__version__ = "0.1.0"

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended, as shells have it."""
