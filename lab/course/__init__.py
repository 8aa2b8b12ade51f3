"""The course's own machinery: hand out, check, hint, grade. See docs/instructor.md."""
