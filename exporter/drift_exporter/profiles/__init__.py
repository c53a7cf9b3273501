"""Profiles on disk: where a model's is, whether it still fits, and how another takes its place."""
