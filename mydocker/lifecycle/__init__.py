"""Chapter 5: the life of a container, from its record to its last trace."""
