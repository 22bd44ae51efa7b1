"""Source text to lesson, exercise and solution notebooks."""
