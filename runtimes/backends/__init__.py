"""What computes artifacts, one a file."""
