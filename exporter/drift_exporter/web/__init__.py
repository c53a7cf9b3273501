"""The HTTP side: routes, pages, TLS and authentication. Knows no store, scheduler or metric."""
