"""The API of a vision models server: SAM 3, Grounding DINO, Depth Anything and DINOv3, each at a path of its own.

Source: github.com/marioviti/VisionModelsRepo.
"""

from __future__ import annotations

from gateway.dialects.dialect import ApiDialect
from gateway.dialects.vision_models.depth import DEPTH_ROUTE
from gateway.dialects.vision_models.detection import DETECTION_ROUTE
from gateway.dialects.vision_models.features import FEATURES_ROUTE
from gateway.dialects.vision_models.management import CONTROLS
from gateway.dialects.vision_models.segmentation import SEGMENTATION_ROUTE

VISION_MODELS = ApiDialect(
    name="vision-models",
    title="Vision models server",
    description="Segmentation, detection, depth and features of one or several images, and the models' state.",
    seed="000",
    routes=(SEGMENTATION_ROUTE, DETECTION_ROUTE, DEPTH_ROUTE, FEATURES_ROUTE),
    controls=CONTROLS,
)
