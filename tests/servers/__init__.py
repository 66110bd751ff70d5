"""Real servers and stand-ins that tests talk to over loopback. No test data, and nothing of the
connector's.
"""
