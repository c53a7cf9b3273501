"""Statistics from counts: two vectors of integers in, a number per feature out.

Pure: knows no config, clock, source or metric name, and never sees a row of data.
"""
