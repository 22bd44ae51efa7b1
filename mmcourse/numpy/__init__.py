"""The mathematics of the course in NumPy, written to be read."""
