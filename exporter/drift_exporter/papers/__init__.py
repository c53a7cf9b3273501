"""Papers that the code writes about itself: the config file, the metrics, the commands."""
