"""What marks bad epochs."""
