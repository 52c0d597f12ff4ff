"""Architecture search: differentiable searches over a supernet, and others made for networks."""
