"""Asking archives: politely, again where it helps, and nothing twice."""
