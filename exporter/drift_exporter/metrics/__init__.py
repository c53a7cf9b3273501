"""Metrics: every name, help and label that is exposed, and the bytes that a scrape gets."""
