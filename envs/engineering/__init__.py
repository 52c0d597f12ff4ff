"""Engineering design problems with closed-form physics: cheap, constrained, with known optima."""
