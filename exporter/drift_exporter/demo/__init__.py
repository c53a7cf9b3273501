"""A stage to watch drift on: an invented credit model, its log, Prometheus and Alertmanager."""
