"""Exact rewrites, one a file: the docstring's first line is the form before and the form after, ``RULE`` is the rule."""
