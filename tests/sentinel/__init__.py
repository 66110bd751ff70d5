"""Tests of what is deployed into Sentinel: every query is analysed by Kusto and run on rows."""
