"""Runs the published classes of transformers, network, tokenizer, picture and film processors, on tiny random weights,
pictures and films, and writes what they computed.

Usage: export_qwen3_vl.py FOLDER
(needs transformers 5.24, torchvision and tokenizers)
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration,
                          Qwen3VLProcessor, Qwen3VLVideoProcessor)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_film
from transformers.video_utils import VideoMetadata

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
           "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
CORPUS = ["Describe this image in one sentence. What is in the picture, and where does it stand?",
          "user assistant system seconds the then and a man walks along the road while rain falls on it",
          "What happens in the video? It's a dog, they're two balls; we'll see 1234567890.", "東京 naïve café déjà"]

# Two networks that no published one is like: numbers differ pairwise; one has a head of its own, and each is
# configured as one of both writers of configurations does.
NETWORKS = {
    "hub": dict(
        patch=8, tied=False,
        text=dict(hidden_size=48, intermediate_size=72, num_hidden_layers=4, num_attention_heads=6,
                  num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-6),
        section=[4, 2, 2], theta=5000000.0,
        vision=dict(hidden_size=32, intermediate_size=56, depth=4, num_heads=2, num_position_embeddings=36,
                    deepstack_visual_indexes=[0, 2]),
    ),
    "newer": dict(
        patch=6, tied=True,
        text=dict(hidden_size=40, intermediate_size=88, num_hidden_layers=3, num_attention_heads=4,
                  num_key_value_heads=4, head_dim=24, rms_norm_eps=1e-3),
        section=[6, 3, 3], theta=10000.0,
        vision=dict(hidden_size=36, intermediate_size=64, depth=5, num_heads=3, num_position_embeddings=25,
                    deepstack_visual_indexes=[1, 3, 4]),
    ),
}

# Pictures by (rows, samples of a row), and a film of so many frames of that size at that rate.
PICTURES = {"wide": (61, 97), "tall": (130, 37), "small": (25, 19)}
FILM = (11, (37, 53), 5.0)

STRINGS = [
    "", " ", "a", "Describe this image.", "What's there?\n\n\tTabs  and   spaces ", "naïve café — 東京 🎬👩‍👩‍👧",
    "e\u0301 and é", "1234567890", "it's IT'S we'll WE'LL", "<|im_start|>user\nhi<|im_end|>", "<|image_pad|><|video_pad|>",
    "<|vision_start|>x<|vision_end|><|endoftext|>", "<think>no</think>", "<tool_call>{\"a\": 1}</tool_call>",
    "<|im_start", "|>", "<|im_end|> <|im_end|>", "\r\n\r\n", "\u00a0\u2003x", "x" * 40, "مرحبا بالعالم", "नमस्ते",
    "\u200b\ufeff", "a\u0300\u0316b", "…!?;:、。", "\x00\x01", "Ⅷ ½ ²", "ﬁ ﬂ", "한국어 텍스트", "\u1112\u1161\u11ab", "   leading",
    "trailing   ", "\n", "don't", "'S", "100% of $5.00", "https://example.com/a?b=c#d", "def f(x):\n    return x\n",
]


def tokenizer(folder):
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(CORPUS, trainer)
    bpe.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    bpe.add_tokens([AddedToken(t, normalized=False, special=False) for t in PLAIN])
    bpe.save(str(folder / "tokenizer.json"), pretty=False)
    return bpe


def picture(h, w, shift=0):
    # A formula, so that no file has to hold it.
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([((y * 7 + x * 13 + y * x * (c + 1) // 5 + shift * (11 + 3 * c)) % (191 + 32 * c)).to(torch.uint8)
                        for c in range(3)])


def film(count, size):
    return torch.stack([picture(*size, shift=i) for i in range(count)])


def config(settings, bpe):
    ids = {name: bpe.token_to_id(token) for name, token in [
        ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>")]}
    rope = dict(mrope_interleaved=True, mrope_section=settings["section"], rope_type="default")
    vocabulary = bpe.get_vocab_size(with_added_tokens=True) + 3
    text = dict(settings["text"], vocab_size=vocabulary, hidden_act="silu", max_position_embeddings=4096,
                attention_bias=False, model_type="qwen3_vl_text")
    vision = dict(settings["vision"], patch_size=settings["patch"], spatial_merge_size=2, temporal_patch_size=2,
                  in_channels=3, out_hidden_size=text["hidden_size"], hidden_act="gelu_pytorch_tanh")
    common = dict(ids, tie_word_embeddings=settings["tied"], model_type="qwen3_vl")
    newer = dict(common, text_config=dict(text, rope_parameters=dict(rope, rope_theta=settings["theta"])),
                 vision_config=vision)
    hub = dict(common, text_config=dict(text, rope_scaling=rope, rope_theta=settings["theta"]),
               vision_config=dict(vision, model_type="qwen3_vl"))
    return newer, hub


def network(settings, bpe):
    made = Qwen3VLForConditionalGeneration._from_config(
        Qwen3VLConfig(**config(settings, bpe)[0]), attn_implementation="eager").eval().float()
    for name, tensor in made.named_parameters():
        spread = 0.2 if tensor.dim() < 2 else tensor[0].numel() ** -0.5
        if "pos_embed" in name:
            spread = 1.0
        if "embed_tokens" in name:
            spread = 1.0 if not settings["tied"] else 0.4
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            spread = 0.5
        if "lm_head" in name:
            spread *= 4.0
        mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            mean = 1.5
        tensor.data = (torch.randn(tensor.shape) * spread + mean).half().float()
    return made


def processors(settings, folder):
    patch = settings["patch"]
    common = dict(patch_size=patch, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    size = {"shortest_edge": 16 * patch**2, "longest_edge": 64 * patch**2}
    film_size = {"shortest_edge": 8 * patch**2, "longest_edge": 220 * patch**2}
    pictures = Qwen2VLImageProcessor(size=size, **common)
    films = Qwen3VLVideoProcessor(size=film_size, cap_pixels_per_frame=True, **common)
    for file, extra in [("preprocessor_config.json", dict(size=size)),
                        ("video_preprocessor_config.json", dict(size=film_size, fps=2, min_frames=4, max_frames=768))]:
        (folder / file).write_text(json.dumps(dict(common, **extra), indent=1) + "\n")
    words = Qwen2Tokenizer.from_pretrained(folder)
    return Qwen3VLProcessor(image_processor=pictures, video_processor=films, tokenizer=words)


IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
# The outer tokens of a film's place are replaced by those of its frames, as the model was released with.
VIDEO = "<|video_pad|>"


def chat(*turns):
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"


CASES = {
    "text": (chat(("user", "Describe the image, it's 12 o'clock.")), [], 0),
    "image": (chat(("user", IMAGE + "Describe this image.")), ["wide"], 0),
    "tall": (chat(("system", "You are terse."), ("user", "Look: " + IMAGE + " and say\nwhat it is")), ["tall"], 0),
    "two": (chat(("user", IMAGE + IMAGE + "Compare the two.")), ["wide", "small"], 0),
    "turns": (chat(("user", IMAGE + "What?"), ("assistant", "A disc."), ("user", "Sure?" + IMAGE)), ["tall", "wide"], 0),
    "film": (chat(("user", VIDEO + "Describe the video.")), [], 1),
    "both": (chat(("user", IMAGE + "then" + VIDEO + "Same?")), ["small"], 1),
}


def inputs(processor, texts, names, films):
    count, size, rate = FILM
    given = dict(text=texts, return_tensors="pt", padding=True, padding_side="left")
    if names:
        given["images"] = [picture(*PICTURES[name]) for name in names]
    if films:
        given["videos"] = [film(count, size)]
        given["video_metadata"] = [VideoMetadata(total_num_frames=count, fps=rate, duration=count / rate)]
    return processor(**given)


def stages(made, given):
    seen = {}

    def keep(name):
        def hook(_, __, output):
            output = output[0] if isinstance(output, tuple) else output
            seen.setdefault(name, output)
        return hook

    visual, language = made.model.visual, made.model.language_model
    named = {"patch_embed": visual.patch_embed, "merger": visual.merger, "lm_norm": language.norm}
    named |= {f"vblock{i}": block for i, block in enumerate(visual.blocks)}
    named |= {f"deepstack{i}": merger for i, merger in enumerate(visual.deepstack_merger_list)}
    named |= {f"layer{i}": layer for i, layer in enumerate(language.layers)}
    hooks = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    logits = made(**given).logits
    for hook in hooks:
        hook.remove()
    return seen, logits


def greedy(made, given, count):
    end = made.generation_config.eos_token_id
    told = made.generate(**given, max_new_tokens=count, do_sample=False, output_logits=True, return_dict_in_generate=True,
                         eos_token_id=end, pad_token_id=end[1])
    rows = told.sequences[:, given["input_ids"].shape[1]:]
    best = [step.topk(2).values for step in told.logits]
    margins = torch.stack([b[:, 0] - b[:, 1] for b in best], 1)
    return rows.tolist(), [[round(m, 5) for m in row] for row in margins.tolist()], torch.stack(told.logits[:4], 1)


def case(made, processor, name, stored):
    text, names, films = CASES[name]
    given = inputs(processor, [text], names, films)
    seen, logits = stages(made, given)
    if name == "image":
        stored |= {f"{name}.{key}": tensor for key, tensor in seen.items()}
    whole = name in ("text", "image")
    stored[f"{name}.logits"] = logits[0] if whole else logits[0, -1:]
    ids, margins, first = greedy(made, given, 32)
    stored[f"{name}.first"] = first[0]
    told = dict(text=text, ids=given["input_ids"][0].tolist(), greedy=ids[0], margins=margins[0])
    for key, grid in (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw")):
        if key in given:
            # Every value is a byte, scaled.
            levels = ((given[key] * 0.5 + 0.5) * 255).round()
            stored[f"{name}.{key}"] = levels.to(torch.uint8)
            told[grid] = given[grid].tolist()
    return told


def sizes(factor):
    shapes = [(32, 32), (33, 65), (80, 48), (48, 80), (101, 166), (230, 67), (1080, 1920), (17, 2000), (3000, 4000), (9, 9),
              # Halves of a token, which go to the even side.
              (72, 104), (78, 102)]
    bounds = [(65536, 16777216), (4096, 40000)]
    pictures, films = [], []
    for h, w in shapes:
        for low, high in bounds:
            try:
                pictures.append([h, w, low, high, smart_resize(h, w, factor, low, high)])
            except ValueError:
                pictures.append([h, w, low, high, None])
            for frames in (4, 7):
                films.append([frames, h, w, low, 4 * high, smart_resize_film(frames, h, w, 2, factor, low, 4 * high)])
    return dict(factor=factor, pictures=pictures, films=films)


def sampling():
    told, films = [], Qwen3VLVideoProcessor()
    for total, rate in [(100, 25.0), (11, 5.0), (3, 30.0), (900, 29.97), (14400, 24.0), (1, 10.0), (2, 1.0), (50, 120.0)]:
        indices = films.sample_frames(VideoMetadata(total_num_frames=total, fps=rate), fps=2).tolist()
        times = Qwen3VLProcessor._calculate_timestamps(None, list(indices), rate, 2)
        told.append(dict(total=total, rate=rate, indices=indices, times=times, texts=[f"{t:.1f}" for t in times]))
    return told


def chances(logits):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
    given = []
    for temperature, k, p in [(0.7, 20, 0.8), (0.3, 50, 0.9), (1.5, 5, 0.5)]:
        scores = logits[None]
        for warp in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(k), TopPLogitsWarper(p)):
            scores = warp(None, scores)
        share = scores.softmax(-1)[0]
        kept = share.nonzero()[:, 0].tolist()
        given.append(dict(temperature=temperature, top_k=k, top_p=p, kept=kept, shares=[share[i].item() for i in kept]))
    return given


def export(name, settings, folder):
    folder.mkdir(parents=True, exist_ok=True)
    bpe = tokenizer(folder)
    processor, made = processors(settings, folder), network(settings, bpe)
    made.generation_config.eos_token_id = [bpe.token_to_id("<|im_end|>"), bpe.token_to_id("<|endoftext|>")]
    (folder / "config.json").write_text(json.dumps(config(settings, bpe)[name == "hub"], indent=1) + "\n")
    weights = {key: t.half().contiguous().clone() for key, t in made.state_dict().items()
               if not (settings["tied"] and key == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    stored, told = {}, dict(cases={})
    with torch.inference_mode():
        for case_name in CASES:
            told["cases"][case_name] = case(made, processor, case_name, stored)
        texts = [CASES[case_name][0] for case_name in ("tall", "text", "image")]
        given = inputs(processor, texts, ["tall", "wide"], 0)
        ids, margins, first = greedy(made, given, 12)
        told["batch"] = dict(cases=["tall", "text", "image"], greedy=ids, margins=margins)
        stored["batch.first"] = first
    told["sizes"], told["frames"] = sizes(2 * settings["patch"]), sampling()
    told["chances"] = chances(stored["text.logits"][-1])
    words = processor.tokenizer
    told["tokens"] = [[text, words(text, split_special_tokens=True).input_ids, words.decode(
        words(text, split_special_tokens=True).input_ids, skip_special_tokens=True,
        clean_up_tokenization_spaces=False)] for text in STRINGS]
    save_file({key: t.contiguous().clone() for key, t in stored.items()}, folder / "stages.safetensors")
    (folder / "expected.json").write_text(json.dumps(told, separators=(",", ":"), ensure_ascii=True) + "\n")


def main(folder):
    torch.set_num_threads(1)
    for seed, (name, settings) in enumerate(NETWORKS.items()):
        torch.manual_seed(21 + seed)
        export(name, settings, Path(folder) / name)


main(sys.argv[1])
