"""Runs the published class of transformers that follows masks through clips on two tiny random networks, and writes what
it computed.

Usage: export_sam2_video.py FOLDER

`clip` is a file by the library's names; `short_memory` is one by the authors' names, with another number in every place of
the configuration that a clip needs. A case is a row of calls of the model, each of
one frame: what was pointed at before it, and after it the masks of all objects and what is remembered of the frame.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Sam2ImageProcessorFast, Sam2VideoModel, Sam2VideoProcessor, Sam2VideoVideoProcessor

from export_sam2 import authors, network, packed

FRAMES = 12

NETWORKS = {
    "clip": dict(
        side=64, width=128, widths=[8, 12, 16, 20], heads=[1, 2, 2, 2], blocks=[1, 1, 2, 1], windows=[8, 4, 4, 2],
        global_blocks=[3], background=[7, 7], top_down=[2, 3], channels=12, decoder_heads=2, hidden=24,
        score_hidden=16, threshold=0.999, picture=(53, 38), video=True, seed=33,
        memory=dict(
            memory_attention_feed_forward_hidden_size=20, memory_fuser_intermediate_dim=28,
            mask_downsampler_total_stride=16, num_maskmem=5,
        ),
    ),
    "short_memory": dict(
        side=96, width=128, widths=[8, 12, 16, 20], heads=[2, 2, 2, 2], blocks=[1, 2, 1, 1], windows=[6, 8, 4, 3],
        global_blocks=[2], background=[5, 7], top_down=[1, 2, 3], channels=8, decoder_heads=4, hidden=20,
        score_hidden=12, threshold=0.4, picture=(37, 51), video=True, seed=6,
        memory=dict(
            memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=24, memory_fuser_intermediate_dim=20, memory_fuser_num_layers=1,
            mask_downsampler_total_stride=16, num_maskmem=4, max_object_pointers_in_encoder=6, max_cond_frame_num=2,
            sigmoid_scale_for_mem_enc=17.0, sigmoid_bias_for_mem_enc=-7.0, multimask_max_pt_num=2,
        ),
    ),
}

# What is pointed at, in shares of the picture: points and labels, a box, or a mask.
SPOT = dict(points=[[0.45, 0.5]], labels=[1])
PAIR = dict(points=[[0.3, 0.6], [0.8, 0.2]], labels=[1, 0])
BOX = dict(box=[0.2, 0.1, 0.7, 0.8])
BOTH = dict(box=[0.1, 0.2, 0.9, 0.7], points=[[0.5, 0.5]], labels=[1])
MASK = dict(mask=[0.3, 0.2, 0.8, 0.7])
NOTHING = dict(mask=[0.0, 0.0, 0.0, 0.0])

# A row of calls: ("hint", frame, {object: hint}) or ("run", frames, backward).
CASES = {
    # Two objects, and a correction of one of them where it was followed already.
    "corrected": [
        ("hint", 0, {3: SPOT, 8: BOX}), ("run", range(0, 8), False),
        ("hint", 7, {3: PAIR}), ("run", range(8, FRAMES), False),
    ],
    # Frames that are pointed at before anything is followed, and both ways from the first.
    "both_ways": [
        ("hint", 4, {1: MASK, 2: BOTH}), ("hint", 6, {1: BOX}), ("hint", 5, {1: SPOT}), ("hint", 11, {2: BOX}),
        ("run", range(4, FRAMES), False), ("run", range(4, -1, -1), True),
    ],
    # An object that joins later, one that is said to be nowhere, and a mask in place of what was found.
    "joined": [
        ("hint", 1, {5: PAIR}), ("run", range(1, 5), False), ("hint", 5, {6: BOX}), ("run", range(5, 8), False),
        ("hint", 8, {6: NOTHING}), ("run", range(8, 11), False),
    ],
}

# Calls of which the stages are stored.
STAGED = {"corrected": [2, 5, 9, 10], "both_ways": [1, 7, 13], "joined": [5, 7, 9]}


def clip(width, height):
    # Formulas, so that the clip is known without a file: a pattern, and a disc that moves and is gone for a while.
    frames = []
    y, x, c = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(3), indexing="ij")
    for t in range(FRAMES):
        picture = (y * 7 + (x + 2 * t) * 5 * (c + 1) + 40 * ((x // 9 + y // 7) % 2)) % 200
        disc = ((x - 8 - 3 * t) ** 2 + (y - height // 2) ** 2 < 90) & (t not in (5, 6))
        frames.append(torch.where(disc, 255 - 60 * c, picture).to(torch.uint8))
    return torch.stack(frames)


class Taps:
    """What modules gave during a call, in order."""

    def __init__(self, model):
        self.seen = {}
        for i, layer in enumerate(model.memory_attention.layers):
            self.on(layer, f"memory_layer{i}", lambda out: out[:, 0])
        self.on(model.memory_attention, "memory_attention", lambda out: out[0])
        last = lambda out: out.permute(0, 2, 3, 1)
        for i, block in enumerate(model.memory_encoder.memory_fuser.layers):
            self.on(block, f"memory_mixer{i}", last)
        self.on(model.memory_encoder, "memory_features", lambda out: out[0].permute(0, 2, 3, 1))

    def on(self, module, name, turned):
        def keep(_, __, output):
            for one in turned(output).split(1):
                self.seen.setdefault(name, []).append(one.detach().clone().contiguous())
        module.register_forward_hook(keep)

    def take(self):
        seen, self.seen = self.seen, {}
        return {f"{name}.{i}": one for name, all in seen.items() for i, one in enumerate(all)}


def given(hint, size):
    """A hint in pixels: what the processor takes, and what is stored."""
    scale = torch.tensor([float(side) for side in size])
    inputs, stored = {}, {}
    if "mask" in hint:
        left, top, right, bottom = (torch.tensor(hint["mask"]).reshape(2, 2) * scale).round().int().flatten().tolist()
        mask = torch.zeros(size[1], size[0], dtype=torch.bool)
        mask[top:bottom, left:right] = True
        mask[top : top + 3, left : left + 2] = False
        return dict(input_masks=[mask]), dict(mask=mask.to(torch.uint8))
    if "box" in hint:
        box = (torch.tensor(hint["box"]).reshape(2, 2) * scale).flatten()
        inputs["input_boxes"], stored["box"] = [[box.tolist()]], box
    if "points" in hint:
        points = torch.tensor(hint["points"]) * scale
        inputs["input_points"], inputs["input_labels"] = [[points.tolist()]], [[hint["labels"]]]
        stored["points"], stored["labels"] = points, torch.tensor(hint["labels"])
    return inputs, stored


def point_at(processor, session, frame, hints, size):
    stored = {}
    for obj, hint in hints.items():
        inputs, kept = given(hint, size)
        processor.add_inputs_to_inference_session(session, frame_idx=frame, obj_ids=obj, **inputs)
        idx = session.obj_id_to_idx(obj)
        kept["corrects"] = torch.tensor(int(frame in session.frames_tracked_per_obj[idx]), dtype=torch.uint8)
        stored.update({f"hint{obj}.{k}": v for k, v in kept.items()})
    # The processor remembers the objects of its last call only.
    session.obj_with_new_inputs = list(hints)
    return stored


def run(model, processor, taps, frames, steps, staged, size):
    session = processor.init_video_session(video=list(frames.permute(0, 3, 1, 2)))
    stored, calls, told, calls_of = {}, [], [], []
    for step in steps:
        if step[0] == "hint":
            calls_of.append((step[1], False, step[2]))
        else:
            calls_of += [(frame, step[2], {}) for frame in step[1]]
    for i, (frame, backward, hints) in enumerate(calls_of):
        result = point_at(processor, session, frame, hints, size)
        taps.take()
        out = model(session, frame_idx=frame, reverse=backward)
        seen = taps.take()
        if i in staged:
            result.update(seen)
        kept, pointers = [], []
        for obj in session.obj_ids:
            outputs = session.output_dict_per_obj[session.obj_id_to_idx(obj)]
            one = outputs["cond_frame_outputs"].get(frame) or outputs["non_cond_frame_outputs"][frame]
            kept.append(one["maskmem_features"][:, 0])
            pointers.append(one["object_pointer"][0, 0])
        result["kept"] = torch.stack(kept)
        result["pointers"] = torch.stack(pointers)
        result["low_res"] = out.pred_masks[:, 0]
        result["presence"] = out.object_score_logits[:, 0]
        masks = processor.post_process_masks([out.pred_masks], [[size[1], size[0]]])[0]
        result["masks"] = packed(masks[:, 0])
        result["objects"] = torch.tensor(out.object_ids)
        calls.append([frame, int(backward)])
        stored.update({f"call{i}.{k}": v.clone().contiguous() for k, v in result.items()})
        told.append((frame, [round(float(v), 3) for v in result["presence"]], [round(float(m.float().mean()), 2) for m in masks[:, 0]]))
    stored["calls"] = torch.tensor(calls)
    return stored, told


def export(name, s, folder):
    torch.manual_seed(s["seed"])
    config, model = network(s)
    for part, tensor in model.named_parameters():
        # Large enough that a wrong row, or none, shows.
        if part in ("memory_temporal_positional_encoding", "no_object_pointer") or part.endswith(".scale"):
            tensor.data = torch.randn(tensor.shape).half().float()
        if part.startswith("memory_attention.") and part.endswith("_proj.weight") and (".q_" in part or ".k_" in part):
            tensor.data = (tensor.data * 1.5).half().float()
    # Tables that no file holds are as they were.
    attention = model.memory_attention
    attention.position_ids.data = attention.precompute_positions(config)
    attention.rotary_emb.inv_freq.data = attention.rotary_emb.compute_axial_rope_parameters(config)[0]
    size, side = s["picture"], {"height": s["side"], "width": s["side"]}
    frames = clip(*size)
    pictures = Sam2ImageProcessorFast(size=side)
    processor = Sam2VideoProcessor(pictures, Sam2VideoVideoProcessor(size=side), target_size=s["side"])
    shown = processor.init_video_session(video=list(frames.permute(0, 3, 1, 2)))
    for i, frame in enumerate(frames):
        one = pictures(frame.permute(2, 0, 1)[None], return_tensors="pt")["pixel_values"][0]
        # Pictures and films are made ready alike.
        assert (shown.get_frame(i) - one).abs().max() < 1e-5, (i, (shown.get_frame(i) - one).abs().max())
    taps, stored = Taps(model), {"frames": frames}
    with torch.inference_mode():
        for case, steps in CASES.items():
            result, told = run(model, processor, taps, frames, steps, STAGED[case], size)
            stored.update({f"{case}.{k}": v for k, v in result.items()})
            for one in told:
                print(name, case, *one)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(folder)
        weights = {key: tensor.half().clone() for key, tensor in model.state_dict().items()}
        if name == "clip":
            save_file(weights, folder / "model.safetensors")
        else:
            torch.save({"model": authors(weights)}, folder / "sam2.1_hiera_tiny.pt")
        save_file(stored, folder / "clips.safetensors")
    return stored


def main(folder):
    torch.set_num_threads(1)
    for name, settings in NETWORKS.items():
        export(name, settings, Path(folder) / name)


if __name__ == "__main__":
    main(sys.argv[1])
