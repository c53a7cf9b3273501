"""Migrations of the store's schema, one file per version in ``versions``."""
