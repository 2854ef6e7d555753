"""Small models with deterministic random weights: every stage runs in about a second, and no label means anything.

For trying the plumbing and for tests. Outputs made with them say so.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import open_clip
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from zgcore.deterministic import deterministic_

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

_SCALE = 0.08  # standard deviation of the weights: large enough that different inputs give different texts


def dino() -> VisionTransformer:
    """A vision transformer of 2 blocks, width 48, patches of 8 pixels."""
    vit = VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0)
    return deterministic_(vit, "dino.", _SCALE).eval()


def clip() -> tuple[CLIP, SimpleTokenizer]:
    """Both towers of a CLIP model: image 112, patch 14, 6 blocks; text 3 blocks; embeddings of 64."""
    vision = CLIPVisionCfg(layers=6, width=96, head_width=48, patch_size=14, image_size=112)
    text = CLIPTextCfg(width=96, heads=2, layers=3)
    model = CLIP(64, vision, text, quick_gelu=True)
    return deterministic_(model, "clip.", _SCALE).eval(), open_clip.SimpleTokenizer()


def words() -> list[str]:
    """Some four hundred nouns: the language model's vocabulary, and what retrieval chooses from."""
    return resources.files(__name__).joinpath("words.txt").read_text(encoding="utf-8").split()


def language_model() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """GPT-2 with 2 layers of width 64 over a vocabulary of whole words."""
    tokenizer = word_tokenizer(words())
    config = GPT2Config(
        n_layer=2,
        n_embd=64,
        n_head=2,
        n_positions=64,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id,
    )
    return deterministic_(GPT2LMHeadModel(config), "language_model.", 2 * _SCALE).eval(), tokenizer


def word_tokenizer(nouns: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are whole words with the space in front, the full stop, and the words of the prompt."""
    tokens = ["<s>", "<unk>", ".", "Image", *dict.fromkeys(f"▁{word}" for word in ["of", "a", *nouns])]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Split(".", "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
