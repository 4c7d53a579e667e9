"""Public networks through onenet and through the usual way of each format, into docs/networks.md.

``python -m bench.zoo`` (``make zoo``) does all of them, a process each; ``python -m bench.zoo unet pidnet`` some, and keeps the
rows of the others. Networks come without downloads: their packages' configurations, seeded random weights, and BatchNorm
statistics of the shipped images.
"""
