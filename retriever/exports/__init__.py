"""Versions as files that other tools open."""
