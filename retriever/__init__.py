"""retriever: search the light curves of many sources for rare events."""

__version__ = "0.1.0"
