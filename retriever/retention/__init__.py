"""Keeping versions: pinned, removed, cleaned up after, rebuilt, packed and unpacked."""
