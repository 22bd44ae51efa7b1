"""Feedback for exercises."""
