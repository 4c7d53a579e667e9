"""What runs on a device: it checks the golden pair there, measures, and answers with one document."""
