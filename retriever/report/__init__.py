"""What people read: tables, histograms, the state of versions."""
