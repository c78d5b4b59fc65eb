"""What makes light curves without events, to count false alarms."""
