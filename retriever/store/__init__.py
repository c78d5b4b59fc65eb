"""The database, the segments, and the leases between runs."""
