"""Where raw photometry comes from."""
