"""Tasks: what a network is for, one a file."""
