"""From counts to a verdict: scores, the thresholds they are held to, and what they promise.

Pure: knows no source, store, clock or metric name.
"""
