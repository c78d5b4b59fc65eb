"""The commands: which words each takes, and which function does its work."""
