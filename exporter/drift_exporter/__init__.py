"""Prometheus exporter and alerting sidecar for the drift of machine-learning models."""

__version__ = "0.1.0"
