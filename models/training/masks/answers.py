"""What the mask model answers to many prompts about many pictures at once, with gradients.

segment-anything's own forward takes one picture and prompts of one kind; a batch of training has many of both.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam
from torch import Tensor

from models.training.masks.prompts import Prompts
from models.training.precision import half_precision


def embed_points(encoder: PromptEncoder, points: Tensor, labels: Tensor) -> Tensor:
    """Sparse prompts [P, 2, d]. points: [P, 2, 2] pixels; labels: [P, 2], box corners too, so that points and boxes
    share a batch, which the prompt encoder's own forward does not allow."""
    embedded = encoder.pe_layer.forward_with_coords(points + 0.5, encoder.input_image_size)
    table = torch.cat([encoder.not_a_point_embed.weight, *(e.weight for e in encoder.point_embeddings)])
    return embedded * (labels >= 0)[..., None] + table[labels + 1]


def decode(
    decoder: MaskDecoder, images: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Mask logits [P, 4, h, w] and predicted IoU [P, 4] of P prompts, each about its own image.

    The decoder's own forward takes many prompts about one image; this is the same computation, prompt by prompt.
    images: [P, d, g, g] embeddings; positions: [1, d, g, g]; sparse: [P, n, d]; dense: [1, d, g, g].
    """
    count, dim, height, width = images.shape
    outputs = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(count, -1, -1)
    tokens = torch.cat([outputs, sparse], 1)
    hidden, source = decoder.transformer(images + dense, positions.expand(count, -1, -1, -1), tokens)
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(count, dim, height, width))
    weights = [mlp(hidden[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.einsum("pkc,pchw->pkhw", torch.stack(weights, 1), upscaled)
    return masks, decoder.iou_prediction_head(hidden[:, 0])


def answers(sam: Sam, images: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor, Tensor]:
    """Mask logits [P, 4, h, w], predicted IoU [P, 4] and the images' embeddings [B, d, g, g], float32, of prompts about
    images (uint8 [B, 3, H, W]). h and w are the decoder's: four logits along each side of a patch.

    Where bfloat16 pays (see `precision`) all is computed in it but the prompts' coordinates, which need more digits.
    """
    encoder = sam.prompt_encoder
    sparse, positions = embed_points(encoder, prompts.points, prompts.labels), encoder.get_dense_pe()
    dense = encoder.no_mask_embed.weight[:, :, None, None]
    pixels = sam.preprocess(images.float())
    with half_precision(images.device):
        embeddings = sam.image_encoder(pixels)
        logits, quality = decode(sam.mask_decoder, embeddings[prompts.scene], positions, sparse, dense)
    return logits.float(), quality.float(), embeddings.float()
