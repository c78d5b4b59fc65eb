"""Configs composed by Hydra from words of the command line."""
