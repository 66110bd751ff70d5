"""The review: what in the records matters to security, for the report. Pure.

It follows the ideas of Sentinel's rules (`deploy/sentinel`) where one pass over the rows can answer
them, so that an auditor without Sentinel sees them too.
"""
