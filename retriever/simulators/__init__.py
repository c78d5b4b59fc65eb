"""What puts simulated events into light curves."""
