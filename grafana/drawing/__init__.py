"""The boards drawn without Grafana, so that a person can look at layout, data and legends."""
