"""Architecture search: environments whose designs are networks."""
