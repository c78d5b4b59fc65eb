"""What removes slow changes of a star and of an instrument before the search."""
