"""The bindings: NumPy arrays in, NumPy arrays out, the engine in between."""
