"""A CLIP text encoder on disk, as small as one can be."""

from __future__ import annotations

import json
from pathlib import Path

SIZE = 512
"""Of an embedding, as SegOne takes it."""


def text_encoder(path: Path) -> Path:
    """A random one of two layers, whose words are letters, in a folder; the folder."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    letters = [chr(code) for code in range(97, 123)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (path / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 16}))
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
    )
    CLIPTextModelWithProjection(config).save_pretrained(path)
    return path
