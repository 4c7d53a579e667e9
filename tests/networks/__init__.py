"""Architectures without a package, written anew from their papers: ``make()`` in each file gives one with the current seed's weights.

They are as small as the paper's smallest form or smaller; what matters is every kind of connection that they have.
"""
