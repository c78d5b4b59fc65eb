"""Fingerprints of code: what a product's key knows about the program that made it.

A fingerprint covers the definitions (classes, functions and constants of the top level) that the code of a result
can reach by the names in it, as long as they are the user's or retriever's own; packages are recorded with each run
and not hashed. What is in doubt counts: a module that is passed around counts whole, and what runs when a module is
loaded always counts. These change nothing:

- comments, docstrings, formatting, blocks for type checkers, and definitions that are not reached;
- annotations, but for those of fields and of functions with a decorator that may look at them;
- classes of `typing.Protocol` that only annotations name (other own classes that annotations name are reached, since
  their methods may be called);
- string constants and f-strings among the positional arguments of a raised exception, and calls of logging.

Some code cannot be followed by looking at it: `importlib`, `exec` and `eval`, modules without Python source, and data
files that it reads. A root that reaches any such code is refused, unless it is a class with a string constant
`version` as attribute (``version: ClassVar[str] = "1"``). That is part of its fingerprint, so that changing it
recomputes what a changed file would not.
"""
