"""Grafana's dashboards: built by code, proven on real series, drawn without Grafana."""
