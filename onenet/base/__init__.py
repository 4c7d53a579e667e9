"""What the rest stands on: files, texts, processes, pictures.

Python 3.9, numpy and Pillow; nothing of onenet but its errors.
"""
