"""Chapter 4: images and layers, the overlay, volumes, and the container's `/`."""
