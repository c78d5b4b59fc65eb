"""The public Python interface: an outputs folder, its versions, their tables, sources and light curves."""
