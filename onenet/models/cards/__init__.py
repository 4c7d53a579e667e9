"""One file for each published system, with its models in ``MODELS``. Nothing here imports PyTorch: listing models is quick."""
