"""White-box search of two-stage robust environments."""
