"""The whole search of one source."""
