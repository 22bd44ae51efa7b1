"""For instructors: hand out exercises, collect them, and grade people you do not know, safely."""
