"""Region proposals: Edge Boxes (Zitnick and Dollar, ECCV 2014) through OpenCV, on a colour-gradient edge map.

Edge Boxes ranks boxes by the contours that lie wholly inside them. It asks for an edge map and the edges'
orientation; OpenCV computes both from a structured forest, whose weights ship with no package. The gradient map below
needs no weights and, worked at a small size, covers the annotated phrases of Flickr30K Entities as well. Whoever has
the forest file (``model.yml.gz`` of opencv_extra) can pass it.
"""

from pathlib import Path

import cv2
import numpy as np

from sspe.errors import SspeError
from sspe.settings import EdgeBoxesSettings
from sspe.vision.boxes import clip, scale

VERSION = 4  # raise it when the same settings give other boxes: what is kept on disk is then made again
WHOLE_PHOTO_SCORE = 1.0  # Edge Boxes scores are well below; the whole photo always comes first


class EdgeBoxes:
    """Callable: photo -> boxes."""

    def __init__(self, settings: EdgeBoxesSettings | None = None):
        """Raises SspeError when OpenCV lacks ``ximgproc``, or the forest file is missing or holds something else."""
        self.settings = settings or EdgeBoxesSettings()
        if not hasattr(cv2, "ximgproc"):
            raise SspeError(
                f"OpenCV {cv2.__version__} here has no ximgproc module; uninstall every opencv package, then "
                "`pip install opencv-contrib-python-headless`."
            )
        self._forest = None
        if self.settings.forest is not None:
            self._forest = _read_forest(self.settings.forest)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Boxes (R, 4) float32 in pixels of ``photo`` (H, W, 3) uint8 RGB, best first, R at most ``count``.

        The first box is the whole photo; the others follow by falling Edge Boxes score.
        """
        return self.scored(photo)[0]

    def scored(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (R, 4) as above and their Edge Boxes scores (R,) float32; the whole photo's is 1."""
        height, width = photo.shape[:2]
        whole = np.array([[0, 0, width, height]], np.float32)
        edges, orientation = self.edges(photo)
        found, scores = self._edge_boxes(edges, orientation)
        size = self.settings.size
        boxes = clip(scale(found, width / size, height / size), width, height)
        boxes = np.concatenate([whole, boxes])[: self.settings.count]
        scores = np.concatenate([[WHOLE_PHOTO_SCORE], scores]).astype(np.float32)[: self.settings.count]
        return boxes, scores

    def edges(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thinned edge map in 0..1 and orientation in 0..pi, both (size, size) float32, of a photo (H, W, 3) uint8."""
        size = self.settings.size
        shrinks = photo.shape[0] > size or photo.shape[1] > size
        small = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        if self._forest is not None:
            edges = self._forest.detectEdges(small.astype(np.float32) / 255)
        else:
            edges = gradient_edges(small)
        orientation = edge_orientation(edges)
        return thin(edges, orientation), orientation

    def _edge_boxes(self, edges: np.ndarray, orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """OpenCV's Edge Boxes: boxes (N, 4) x1 y1 x2 y2 in pixels of the edge map, scores (N,)."""
        s = self.settings
        if s.count <= 1:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        detector = cv2.ximgproc.createEdgeBoxes(
            alpha=s.alpha,
            beta=s.beta,
            eta=s.eta,
            minScore=s.min_score,
            maxBoxes=s.count - 1,
            edgeMinMag=s.edge_min_mag,
            edgeMergeThr=s.edge_merge_threshold,
            clusterMinMag=s.cluster_min_mag,
            maxAspectRatio=s.max_aspect_ratio,
            minBoxArea=s.min_box_area,
            gamma=s.gamma,
            kappa=s.kappa,
        )
        found, scores = detector.getBoundingBoxes(edges, orientation)
        if scores is None or len(found) == 0:  # an empty result is ((), None)
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        xywh = np.asarray(found, np.float32).reshape(-1, 4)
        corner = xywh[:, :2] - 1  # OpenCV's x and y come out 1 too large, and its boxes hold the pixels x to x + w
        boxes = np.concatenate([corner, corner + xywh[:, 2:] + 1], axis=1)
        return boxes, np.asarray(scores, np.float32).reshape(-1)  # (n, 1) in OpenCV 4, (n,) in 5


def _read_forest(path: str) -> "cv2.ximgproc.StructuredEdgeDetection":
    if not Path(path).is_file():
        raise SspeError(f"There is no structured forest file {path}; check the path.")
    try:
        # OpenCV's reader divides by the number of trees even where it found none, which ends the process: look first.
        file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        trees = file.getNode("options").getNode("numberOfTrees")
        known = trees.isInt() and trees.real() > 0
        file.release()
        if known:
            return cv2.ximgproc.createStructuredEdgeDetection(str(path))
    except (cv2.error, SystemError):  # SystemError: how some versions report an error inside a constructor
        pass
    raise SspeError(f"{path} is not a structured forest; give the file model.yml.gz of opencv_extra.")


def gradient_edges(photo: np.ndarray) -> np.ndarray:
    """Edge strength (H, W) float32 in 0..1 of a photo (H, W, 3) uint8 RGB.

    Per Lab channel the Scharr gradient's magnitude; the strongest channel counts. Divided by its mean over the
    neighbourhood, so that soft contours of quiet places count beside the hard ones of busy places.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), 1.4), cv2.COLOR_RGB2LAB).astype(np.float32)
    gx, gy = cv2.Scharr(lab, cv2.CV_32F, 1, 0), cv2.Scharr(lab, cv2.CV_32F, 0, 1)
    # cv2.magnitude rounds the last pixels of a buffer otherwise than the rest, depending on where in memory it lies.
    magnitude = np.sqrt(gx * gx + gy * gy).max(axis=2)
    around = cv2.blur(magnitude, (31, 31))
    # Half of the divisor is the whole photo's mean: a purely local one would raise noise in flat sky to contours.
    magnitude /= around + around.mean() + 1e-3
    top = np.percentile(magnitude, 99.5)
    return np.clip(magnitude / max(top, 1e-6), 0, 1)


def edge_orientation(edges: np.ndarray) -> np.ndarray:
    """Orientation (H, W) float32 in 0..pi of the edges' normals, from second derivatives of the smoothed map.

    As in Dollar's edge toolbox: O = mod(atan(Oyy * sign(-Oxy) / (Oxx + 1e-5)), pi), exact at multiples of 45 degrees.
    """
    smooth = cv2.GaussianBlur(edges, (0, 0), 2.0)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    gxx, gxy, gyy = cv2.Sobel(gx, cv2.CV_32F, 1, 0), cv2.Sobel(gx, cv2.CV_32F, 0, 1), cv2.Sobel(gy, cv2.CV_32F, 0, 1)
    # Of a clean horizontal or vertical edge gxy is 0; a sign of 0 would turn the horizontal one by 90 degrees.
    return np.mod(np.arctan(np.where(gxy > 0, -gyy, gyy) / (gxx + 1e-5)), np.pi).astype(np.float32)


def thin(edges: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Non-maximum suppression: an edge pixel stays when neither neighbour along its normal is stronger. (H, W)."""
    height, width = edges.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    dx, dy = np.cos(orientation), np.sin(orientation)
    thinned = edges.copy()
    for sign in (-1.0, 1.0):
        neighbour = cv2.remap(edges, x + sign * dx, y + sign * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        thinned[edges * 1.02 < neighbour] = 0
    return thinned
