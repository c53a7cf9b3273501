"""Incidents at the borders: what comes in from Alertmanager, and what goes out."""
