"""What public documents say of NPUs, as rules in YAML files, and what of a graph they name."""
