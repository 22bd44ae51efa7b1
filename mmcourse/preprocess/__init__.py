"""Raw files to NumPy arrays."""
