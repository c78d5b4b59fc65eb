"""Plan, run, publish."""
