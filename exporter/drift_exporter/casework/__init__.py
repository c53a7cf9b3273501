"""Story two: an alert becomes an incident, is examined, answered and closed.

What is pure about it is in `incident` and `analysis`, what leaves the process in `exchange`.
"""
