"""The code that comes with a tiny model: the interface of Moondream2's, with a few thousand weights.

It behaves like the real code where that matters to callers. Its constructor computes a table that is not among the
weights and calls no `post_init`; it computes in bfloat16; the model is nested in another one as `model`; the cache is
created at the first access to a method; and it cannot encode an image in a call with settings.
"""

from types import SimpleNamespace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

WIDTH, SIDE, CONTEXT = 32, 32, 160


class EncodedImage:
    """An encoded image."""

    def __init__(self, state):
        self.pos = 9
        self.state = state


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(text=SimpleNamespace(max_context=CONTEXT))
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        self.tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.tokenizer.decoder = decoders.ByteLevel()
        self.eos = len(alphabet)
        self.look = nn.Conv2d(3, WIDTH, 8, 8, dtype=torch.bfloat16)
        self.words = nn.Embedding(self.eos + 1, WIDTH, dtype=torch.bfloat16)
        self.mix = nn.Linear(WIDTH, WIDTH, dtype=torch.bfloat16)
        self.text = nn.ModuleDict({"lm_head": nn.Linear(WIDTH, self.eos + 1, dtype=torch.bfloat16)})
        self.places = nn.Linear(WIDTH, 4, dtype=torch.bfloat16)
        steps = torch.arange(CONTEXT)[:, None] * torch.linspace(0.05, 2, WIDTH)
        self.register_buffer("table", torch.sin(steps), persistent=False)
        unprintable = [not " " <= char <= "~" for char in alphabet]
        self.register_buffer("unprintable", torch.tensor([*unprintable, False]), persistent=False)

    @torch.inference_mode()
    def encode_image(self, image, settings=None):
        if isinstance(image, EncodedImage):
            return image
        if settings is not None and settings["variant"] is not None:
            raise NotImplementedError
        pixels = torch.frombuffer(bytearray(image.convert("RGB").resize((SIDE, SIDE)).tobytes()), dtype=torch.uint8)
        planes = pixels.view(SIDE, SIDE, 3).permute(2, 0, 1)[None].to(self.look.weight.device, torch.bfloat16)
        return EncodedImage(self.look(planes.div_(127.5).sub_(1)).flatten(2).mean(-1)[0])

    def query(self, image=None, question=None, reasoning=False, spatial_refs=None, stream=False, settings=None):
        state = torch.zeros_like(self.mix.bias) if image is None else self.encode_image(image, settings).state
        return self._answer("answer", state, "query" + question, stream, settings)

    def caption(self, image, length="normal", stream=False, settings=None):
        if length not in {"short", "normal", "long"}:
            raise ValueError(f"no caption of length {length!r}")
        return self._answer("caption", self.encode_image(image, settings).state, f"caption {length}", stream, settings)

    @torch.inference_mode()
    def detect(self, image, object, settings=None):  # noqa: A002 - the name in the real code
        objects = []
        for x, y, width, height in self._find(image, object, settings):
            objects.append(
                {"x_min": x - width / 2, "y_min": y - height / 2, "x_max": x + width / 2, "y_max": y + height / 2}
            )
        return {"objects": objects}

    @torch.inference_mode()
    def point(self, image, object, settings=None):  # noqa: A002 - the name in the real code
        return {"points": [{"x": x, "y": y} for x, y, _, _ in self._find(image, object, settings)]}

    def _find(self, image, label, settings):
        state = self._think(self.encode_image(image, settings).state, self._read(" " + label), 0)
        count = 1 + len(label) % 3
        for index in range(min(count, (settings or {}).get("max_objects", 50))):
            state = self._think(state, self.words.weight[index], index)
            yield torch.sigmoid(self.places(state)).float().tolist()

    def _answer(self, name, state, prompt, stream, settings):
        pieces = self._generate(state, prompt, settings or {})
        return {name: pieces if stream else "".join(pieces)}

    def _generate(self, state, prompt, settings):
        temperature, top_p = settings.get("temperature", 0.5), settings.get("top_p", 0.3)
        embedding = self._read(prompt)
        for step in range(settings.get("max_tokens", 24)):
            with torch.inference_mode():
                state = self._think(state, embedding, step)
                scores = self.text.lm_head(state).float().masked_fill(self.unprintable, -torch.inf)
                token = int(self._sample(scores / temperature, top_p) if temperature else scores.argmax())
                embedding = self.words.weight[token]
            if token == self.eos:
                return
            yield self.tokenizer.decode([token])

    def _sample(self, scores, top_p):
        probabilities, tokens = scores.softmax(-1).sort(descending=True)
        probabilities[probabilities.cumsum(-1) - probabilities > top_p] = 0
        return tokens[torch.multinomial(probabilities, 1)]

    def _read(self, text):
        ids = torch.tensor(self.tokenizer.encode(text).ids, device=self.mix.weight.device)
        return self.words(ids).mul(self.table[: len(ids)].to(torch.bfloat16) + 1).sum(0)

    def _think(self, state, embedding, step):
        return torch.tanh(self.mix(state) + embedding + self.table[step].to(torch.bfloat16))


class TinyConfig(PretrainedConfig):
    model_type = "moondream1"


class MoondreamTiny(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = TinyModel()

    def _with_cache(self):
        if not hasattr(self.model, "cache"):
            self.model.register_buffer("cache", torch.zeros(CONTEXT, device=self.device))
        return self.model

    @property
    def encode_image(self):
        return self._with_cache().encode_image

    @property
    def query(self):
        return self._with_cache().query

    @property
    def caption(self):
        return self._with_cache().caption

    @property
    def detect(self):
        return self._with_cache().detect

    @property
    def point(self):
        return self._with_cache().point
