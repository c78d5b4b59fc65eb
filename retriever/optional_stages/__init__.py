"""Stages that a config adds to the built-in ones, as a project's own are: ``retriever run +stages=combine``."""
