"""Reading: sources that answer with counts, never with rows."""
