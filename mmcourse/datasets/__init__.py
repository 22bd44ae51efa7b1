"""What the lessons learn from."""
