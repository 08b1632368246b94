"""From the first differing step to the op, its source line, its cause and the fix."""
