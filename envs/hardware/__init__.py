"""Computer hardware: environments over models that give what the published simulators give."""
