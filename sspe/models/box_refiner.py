"""Box refinement: a proposal that a phrase has chosen is moved and stretched onto what the phrase names.

Beyond the paper, whose answers are proposals as they come; as in Fast R-CNN the network says by how much of its width
and height a box should move, and by what factor it should grow. One set of weights serves all phrases: the phrase's
embedding tells what to frame, "a man" or "his hat".
"""

import torch
from torch import nn
from torch.nn import functional

LARGEST = 1.0  # change: a side grows or shrinks by a factor of 2.7 at most, and no box jumps farther than its side


class BoxRefiner(nn.Module):
    """Region features and phrase embeddings -> four changes of each box, through one hidden layer.

    The regions' contribution, :meth:`describe`, is computed once per photo.
    """

    def __init__(self, features: int, embedding: int, hidden: int):
        super().__init__()
        self.region = nn.Sequential(nn.Linear(features, hidden), nn.BatchNorm1d(hidden))
        self.phrase = nn.Linear(embedding, hidden, bias=False)
        self.changes = nn.Linear(hidden, 4)
        self.scale = embedding**0.5  # a unit vector's numbers are small; beside normalised ones they would not count
        nn.init.zeros_(self.changes.weight)
        nn.init.zeros_(self.changes.bias)

    def describe(self, features: torch.Tensor) -> torch.Tensor:
        """The regions' contribution (R, H) to the hidden layer, from region features (R, D)."""
        return self.region(features).float()

    def forward(self, regions: torch.Tensor, phrases: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Refined boxes (..., 4), in the frame of ``boxes``.

        Args:
            regions: (..., H) from :meth:`describe`.
            phrases: phrase embeddings (..., E) of unit length.
            boxes: (..., 4) float32, x1 y1 x2 y2 in any unit.
        """
        hidden = functional.relu(regions + self.phrase(phrases * self.scale))
        return apply_changes(boxes, self.changes(hidden).float())


def apply_changes(boxes: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Boxes (..., 4) moved by ``changes`` (..., 4): of the centre, in widths and heights; of the sides' logarithms."""
    changes = changes.clamp(-LARGEST, LARGEST)
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + sides / 2 + changes[..., :2] * sides
    sides = sides * changes[..., 2:].exp()
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=-1)


def refinement_loss(refined: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - generalised IoU of boxes (N, 4) with the right ones (N, 4); 0 where there is none."""
    if not len(refined):
        return refined.sum() * 0
    from torchvision.ops import generalized_box_iou_loss  # in training alone: torchvision takes seconds to import

    return generalized_box_iou_loss(refined, right, reduction="mean")
