"""Versions of the schema; a file here never changes once it was released."""
