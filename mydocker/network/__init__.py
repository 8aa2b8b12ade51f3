"""Chapter 6: networks of containers: addresses, bridges, rules, ports and names."""
