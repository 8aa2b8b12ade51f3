"""Chapter 3: namespaces, and the first process in them that becomes the user's command."""
