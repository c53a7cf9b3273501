"""A model's past at work: it is counted, gives thresholds, and their promise is tested on it."""
