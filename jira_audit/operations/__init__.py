"""What an operator asks for: backfill, replay, reset, status, verify.

None knows Azure or files.
"""
