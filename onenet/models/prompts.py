"""The texts that a model is exported with: their embeddings travel in its manifest, and no text encoder does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from onenet.base.arrays import Array
from onenet.base.text import first_line
from onenet.errors import RequestError, ToolError
from onenet.model import Model

DIGITS = 6
"""After the decimal point. Embeddings have length 1."""


def with_prompts(model: Model, table: Mapping[str, Array]) -> Model:
    """The same model with texts that ``onenet run --prompt`` knows.

    Args:
        model: one with an input ``text``, as ``build`` makes it, or lowered.
        table: text -> its embedding, (text,) or (1, text).

    Raises:
        RequestError: the model takes no text, or an embedding of another length.
    """
    spec = next((each for each in model.spec.inputs if each.name == "text"), None)
    if spec is None:
        raise RequestError(f"{model.spec.name} takes {', '.join(each.name for each in model.spec.inputs)}, and no text")
    rows: dict[str, list[float]] = {}
    for text, embedding in table.items():
        if embedding.size != spec.shape[-1]:
            takes = f"{model.spec.name} takes {spec.shape[-1]}"
            raise RequestError(f"the embedding of {text!r} has {embedding.size} values, {takes}")
        rows[text] = [round(float(value), DIGITS) for value in embedding.reshape(-1)]
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, source={**model.spec.source, "prompts": rows}))


@torch.no_grad()
def clip_embeddings(folder: Path | str, texts: Sequence[str]) -> dict[str, Array]:
    """Embeddings of texts by a CLIP text encoder, each of length 1, (text,) float32.

    Args:
        folder: a transformers model with a text projection (``CLIPTextModelWithProjection``) and its tokenizer, on disk.
            Nothing is downloaded.
        texts: what is to be looked for.

    Raises:
        RequestError: the folder holds no such model.
        ToolError: transformers is missing.
    """
    try:
        from transformers import AutoTokenizer, CLIPTextModelWithProjection
    except ImportError as error:
        raise ToolError("texts are embedded by transformers, which is not installed: pip install transformers") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        encoder = CLIPTextModelWithProjection.from_pretrained(str(folder), local_files_only=True)  # in evaluation mode
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder} holds no CLIP text encoder: {first_line(error)}") from error
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    found = encoder(**{key: tokens[key] for key in ("input_ids", "attention_mask")}).text_embeds
    found = found / found.norm(dim=1, keepdim=True)
    return {text: row.numpy().astype("float32") for text, row in zip(texts, found, strict=True)}
