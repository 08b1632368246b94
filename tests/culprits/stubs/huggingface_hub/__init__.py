"""A hub without a network, under the name of the real library: `main` moves with each call."""

from huggingface_hub.file_download import hf_hub_download

__all__ = ["hf_hub_download"]
