"""Grafana's dashboards of drift-exporter: built by code, proven on real series, drawn without Grafana."""
