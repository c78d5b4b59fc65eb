"""What searches a light curve."""
