"""Networks that hold many networks: operation sets, cells and supernets of architecture search."""
