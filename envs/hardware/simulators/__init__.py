"""The published simulators themselves, behind the environments that stand for them; each is run as a program."""
