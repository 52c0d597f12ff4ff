"""What searches of architectures compute with mixtures of operations."""
