"""Architectures without a package, written anew from their papers: ``make()`` in each file gives one.

They are as small as the paper's smallest form or smaller; what matters is every kind of connection that they have.
"""
