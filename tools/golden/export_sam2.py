"""Runs the published classes of transformers on two tiny random networks of SAM 2 and writes what they computed.

Usage: export_sam2.py FOLDER

`plain` is a file of the video layout by the library's names; `uneven` is one of the picture layout by the authors' names,
with other sizes in every place. Masks of a picture's size are stored, eight to a byte, as the library's processor makes
them, and what it makes of a picture in whole levels.
"""

import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Sam2Config, Sam2ImageProcessorFast, Sam2Model, Sam2VideoConfig, Sam2VideoModel

NETWORKS = {
    "plain": dict(
        side=64, width=24, widths=[8, 12, 20, 24], heads=[1, 2, 4, 3], blocks=[1, 2, 2, 1], windows=[8, 4, 6, 3],
        global_blocks=[4], background=[7, 7], top_down=[2, 3], channels=12, decoder_heads=3, hidden=40,
        score_hidden=24, threshold=0.98, picture=(53, 38), video=True, seed=27,
    ),
    "uneven": dict(
        side=96, width=16, widths=[8, 12, 20, 28], heads=[2, 4, 5, 2], blocks=[2, 1, 2, 2], windows=[6, 8, 4, 3],
        global_blocks=[1, 4], background=[14, 5], top_down=[1, 2, 3], channels=8, decoder_heads=2, hidden=56,
        score_hidden=20, threshold=0.34, picture=(37, 71), video=False, seed=16,
    ),
}

# Of these cases every stage is stored, of all the masks.
STAGED = ["boxes3", "two_objects", "box_and_point", "large_mask"]

# Boxes, points and labels, as fractions of the picture.
CASES = {
    "nothing": {},
    "box1": dict(boxes=[[0.2, 0.1, 0.8, 0.9]]),
    "boxes3": dict(boxes=[[0.0, 0.0, 0.4, 0.5], [0.3, 0.35, 1.0, 1.0], [0.45, 0.1, 0.6, 0.2]]),
    "point1": dict(points=[[[0.4, 0.55]]], labels=[[1]]),
    "points3": dict(points=[[[0.2, 0.3], [0.75, 0.2], [0.5, 0.9]]], labels=[[1, 0, 1]]),
    "two_objects": dict(points=[[[0.2, 0.3]], [[0.7, 0.6], [0.8, 0.1]]], labels=[[1], [1, 0]]),
    "box_and_point": dict(boxes=[[0.1, 0.1, 0.7, 0.8]], points=[[[0.5, 0.4]]], labels=[[0]]),
    "mask": dict(points=[[[0.4, 0.55]]], labels=[[1]], mask=1),
    "small_mask": dict(boxes=[[0.2, 0.1, 0.8, 0.9]], mask=2),
    "large_mask": dict(points=[[[0.3, 0.6]]], labels=[[0]], mask=0.4),
}


def configuration(s):
    side = s["side"]
    vision = dict(
        backbone_config=dict(
            model_type="sam2_hiera_det_model", hidden_size=s["widths"][0], num_attention_heads=s["heads"][0],
            image_size=[side, side], blocks_per_stage=s["blocks"], embed_dim_per_stage=s["widths"],
            num_attention_heads_per_stage=s["heads"], window_size_per_stage=s["windows"],
            global_attention_blocks=s["global_blocks"], window_positional_embedding_background_size=s["background"],
        ),
        backbone_channel_list=s["widths"][::-1], fpn_hidden_size=s["width"], fpn_top_down_levels=s["top_down"],
        backbone_feature_sizes=[[side // n, side // n] for n in (4, 8, 16)],
    )
    prompts = dict(hidden_size=s["width"], image_size=side, mask_input_channels=s["channels"])
    masks = dict(
        hidden_size=s["width"], mlp_dim=s["hidden"], num_attention_heads=s["decoder_heads"],
        iou_head_hidden_dim=s["score_hidden"], dynamic_multimask_stability_thresh=s["threshold"],
    )
    if not s["video"]:
        return Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks)
    memory = dict(
        memory_attention_hidden_size=s["width"], memory_attention_num_layers=2, memory_attention_num_attention_heads=1,
        memory_attention_feed_forward_hidden_size=20, memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=s["width"], memory_fuser_embed_dim=s["width"],
        memory_fuser_intermediate_dim=28, memory_fuser_num_layers=2, mask_downsampler_embed_dim=s["width"],
        mask_downsampler_total_stride=4, num_maskmem=5, enable_occlusion_spatial_embedding=True,
        enable_temporal_pos_encoding_for_object_pointers=True,
    )
    return Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks, image_size=side,
        **memory | s.get("memory", {}),
    )


def network(s):
    config = configuration(s)
    model = (Sam2VideoModel if s["video"] else Sam2Model)(config).eval()
    for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
        if "norm" in name and name.endswith("weight"):
            tensor.data = torch.randn(tensor.shape) * 0.2 + 1
        elif tensor.dim() < 2:
            tensor.data = torch.randn(tensor.shape) * 0.2
        elif name.endswith(("positional_embedding", "pos_embed", "pos_embed_window")) or "embed" in name.split(".")[-2:][0]:
            tensor.data = torch.randn(tensor.shape)
        else:
            # Attention sharp enough that prompts make a difference, and masks with an inside and an outside.
            spread = 2.5 if "mask_decoder" in name else 1.2
            tensor.data = torch.randn(tensor.shape) * spread * tensor[0].numel() ** -0.5
        tensor.data = tensor.data.half().float()
    quiet = ("upscale_conv1", "conv_s1", "transformer.layers.0.self_attn.o_proj")
    for name, tensor in model.named_parameters():
        # Norms that see little, so that a wrong epsilon shows.
        if not s["video"] and any(part in name for part in quiet):
            tensor.data = (tensor.data * 0.01).half().float()
    code = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding.data = code.data
    return config, model


def picture(width, height):
    # A formula, so that the picture is known without a file; hard edges and soft ones.
    y, x, c = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(3), indexing="ij")
    return ((y * 11 + x * 5 * (c + 1) + x * y // 3 + 60 * ((x // 9 + y // 7) % 2)) % 256).to(torch.uint8)


def prompt(case, size, side, mask_size):
    """What the model takes, and what it was made of, in pixels of the picture."""
    width, height = size
    inputs, stored = {}, {}
    scale = lambda values: values * torch.tensor([side / width, side / height])
    if "boxes" in case:
        boxes = torch.tensor(case["boxes"]).reshape(-1, 2, 2) * torch.tensor([float(width), float(height)])
        stored["boxes"] = boxes.reshape(-1, 4)
        inputs["input_boxes"] = scale(boxes).reshape(1, -1, 4)
    if "points" in case:
        most = max(len(points) for points in case["points"])
        points = torch.zeros(1, len(case["points"]), most, 2)
        labels = torch.full((1, len(case["points"]), most), -10)
        for i, (some, kinds) in enumerate(zip(case["points"], case["labels"])):
            points[0, i, : len(some)] = torch.tensor(some) * torch.tensor([float(width), float(height)])
            labels[0, i, : len(some)] = torch.tensor(kinds)
        stored["points"], stored["labels"] = points[0].clone(), labels[0].clone()
        inputs["input_points"], inputs["input_labels"] = scale(points), labels
        # The processor's padding point is not scaled.
        inputs["input_points"] = torch.where(labels[..., None] == -10, 0.0, inputs["input_points"])
    if "mask" in case:
        length = int(mask_size / case["mask"])
        y, x = torch.meshgrid(torch.arange(length), torch.arange(length), indexing="ij")
        stored["mask"] = inputs["input_masks"] = (10 * torch.sin(x / 3.0) * torch.cos(y / 4.0))[None, None]
    return inputs, stored


def packed(masks):
    """Eight samples to a byte, the first in the highest bit."""
    bits = torch.nn.functional.pad(masks.flatten(1).to(torch.uint8), (0, -masks[0].numel() % 8))
    return (bits.reshape(len(masks), -1, 8) * 2 ** torch.arange(7, -1, -1)).sum(-1).to(torch.uint8)


class Taps:
    """What modules gave, by name."""

    def __init__(self, model):
        self.seen = {}
        encoder, decoder = model.vision_encoder, model.mask_decoder
        self.on(encoder.backbone.patch_embed, "patch_embed")
        for i, block in enumerate(encoder.backbone.blocks):
            self.on(block, f"block{i}")
        self.on(model.prompt_encoder, "prompt.out")
        self.on(decoder.transformer, "two_way.out")
        self.on(decoder.upscale_conv1, "upscale1")
        self.on(decoder.iou_prediction_head, "iou_head")
        self.on(decoder.pred_obj_score_head, "object_head")

    def on(self, module, name):
        def keep(_, __, output):
            for i, one in enumerate(output if isinstance(output, tuple) else [output]):
                if one is not None:
                    self.seen[name + (str(i) if isinstance(output, tuple) else "")] = one.detach().clone()
        module.register_forward_hook(keep)

    def take(self):
        seen, self.seen = self.seen, {}
        return {name: tensor.contiguous() for name, tensor in seen.items()}


def export(name, s, folder):
    torch.manual_seed(s["seed"])
    config, model = network(s)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    weights = {key: tensor.half().clone() for key, tensor in model.state_dict().items()}
    if s["video"]:
        save_file(weights, folder / "model.safetensors")
        image_config = Sam2Config(
            vision_config=config.vision_config, prompt_encoder_config=config.prompt_encoder_config.to_dict(),
            mask_decoder_config=config.mask_decoder_config.to_dict(),
        )
        image_model = Sam2Model(image_config).eval()
        image_model.load_state_dict({k: v for k, v in model.state_dict().items() if k in image_model.state_dict()})
        model = image_model
    else:
        torch.save({"model": authors(weights)}, folder / "sam2.1_hiera_tiny.pt")
    taps = Taps(model)
    processor = Sam2ImageProcessorFast(size={"height": s["side"], "width": s["side"]})
    size = s["picture"]
    pixels = picture(*size)
    values = processor(pixels.permute(2, 0, 1)[None], return_tensors="pt")["pixel_values"]
    mean, deviation = torch.tensor(processor.image_mean), torch.tensor(processor.image_std)
    levels = (values[0].permute(1, 2, 0) * deviation + mean) * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    stored = {"picture": pixels, "resized": levels.round().to(torch.uint8).contiguous()}
    with torch.inference_mode():
        features = model.get_image_embeddings(values)
        stored.update({f"embedding{i}": feature.contiguous() for i, feature in enumerate(features)})
        stored.update(taps.take())
        for case, given in CASES.items():
            for multi in (True, False):
                inputs, kept = prompt(given, size, s["side"], s["side"] // 4)
                out = model(image_embeddings=features, multimask_output=multi, **inputs)
                kind = "multi" if multi else "single"
                best = out.iou_scores[0].argmax(-1)
                chosen = torch.stack([mask[i] for mask, i in zip(out.pred_masks[0], best)])
                masks = processor.post_process_masks([chosen[:, None]], [[size[1], size[0]]])[0]
                result = {f"{kind}.best": best, f"{kind}.masks": packed(masks[:, 0]), f"{kind}.iou": out.iou_scores[0]}
                result[f"{kind}.low_res"] = out.pred_masks[0]
                seen = taps.take()
                if multi:
                    result.update({f"in.{k}": v for k, v in kept.items()})
                    if case in STAGED:
                        result.update(seen)
                    result["presence"] = out.object_score_logits[0, :, 0]
                stored.update({f"{case}.{k}": v.clone().contiguous() for k, v in result.items()})
                print(name, case, kind, [round(float(v), 3) for v in out.iou_scores.max(-1).values[0]],
                      [round(float(v), 2) for v in out.object_score_logits.flatten()], float(masks.float().mean()),
                      "unstable" if not multi and not torch.equal(out.iou_scores[0, :, 0], seen["iou_head"][0, :, 0])
                      else "")
    save_file(stored, folder / "stages.safetensors")


# The published conversion's renames, the other way round.
RENAMES = [
    (r"^shared_image_embedding\.positional_embedding$", "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.backbone\.patch_embed\.projection", "image_encoder.trunk.patch_embed.proj"),
    (r"^vision_encoder\.backbone", "image_encoder.trunk"),
    (r"^vision_encoder\.neck\.convs\.(\d)", r"image_encoder.neck.convs.\1.conv"),
    (r"mask_embed\.conv1", "mask_downscaling.0"), (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"), (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"upscale_conv1", "output_upscaling.0"), (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"^prompt_encoder", "sam_prompt_encoder"), (r"^mask_decoder", "sam_mask_decoder"),
    (r"mask_downsampler\.layers\.(\d)\.conv", lambda m: f"mask_downsampler.encoder.{3 * int(m[1])}"),
    (r"mask_downsampler\.layers\.(\d)\.layer_norm", lambda m: f"mask_downsampler.encoder.{3 * int(m[1]) + 1}"),
    (r"mask_downsampler\.final_conv", "mask_downsampler.encoder.12"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|pred_obj_score_head|object_pointer_proj)\.layers\.0", r"\1.layers.1"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|pred_obj_score_head|object_pointer_proj)\.proj_in", r"\1.layers.0"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|pred_obj_score_head|object_pointer_proj)\.proj_out", r"\1.layers.2"),
    (r"mlp\.proj_in", "mlp.layers.0"), (r"mlp\.proj_out", "mlp.layers.1"),
    (r"memory_encoder\.feature_projection", "memory_encoder.pix_feat_proj"),
    (r"memory_encoder\.projection", "memory_encoder.out_proj"),
    (r"memory_fuser\.layers\.(\d)\.scale", r"memory_fuser.layers.\1.gamma"), (r"memory_fuser", "fuser"),
    (r"depthwise_conv", "dwconv"), (r"pointwise_conv", "pwconv"),
    (r"^object_pointer_proj", "obj_ptr_proj"), (r"^temporal_positional_encoding_projection_layer", "obj_ptr_tpos_proj"),
    (r"^no_memory_embedding", "no_mem_embed"), (r"^no_memory_positional_encoding", "no_mem_pos_enc"),
    (r"^no_object_pointer", "no_obj_ptr"), (r"^memory_temporal_positional_encoding", "maskmem_tpos_enc"),
    (r"^occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
    (r"o_proj", "out_proj"), (r"layer_norm", "norm"),
]


def authors(weights):
    renamed = {}
    for name, tensor in weights.items():
        if name == "prompt_encoder.shared_embedding.positional_embedding":
            continue
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if name == "sam_prompt_encoder.point_embed.weight":
            for i, row in enumerate(tensor):
                renamed[f"sam_prompt_encoder.point_embeddings.{i}.weight"] = row[None].clone()
        else:
            renamed[name] = tensor
    return renamed


def main(folder):
    torch.set_num_threads(1)
    for name, settings in NETWORKS.items():
        export(name, settings, Path(folder) / name)


if __name__ == "__main__":
    main(sys.argv[1])
