"""Raw photometry to light curves."""
