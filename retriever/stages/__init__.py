"""One pure module a stage: data in, data out."""
