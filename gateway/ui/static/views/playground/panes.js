/** How the answer of each task is shown. A task that is not named here shows its texts, and its JSON. */

import { AnyPane } from "./panes/any.js";
import { DepthPane } from "./panes/depth.js";
import { DetectionsPane } from "./panes/detections.js";
import { EmbeddingsPane } from "./panes/embeddings.js";
import { FeaturesPane } from "./panes/features.js";
import { ImagesPane } from "./panes/images.js";
import { OcrPane } from "./panes/ocr.js";
import { CrawledPage } from "./panes/page.js";
import { PointsPane } from "./panes/points.js";
import { RankingPane } from "./panes/ranking.js";
import { SegmentsPane } from "./panes/segments.js";
import { TranscriptPane } from "./panes/transcript.js";

/** @type {Record<string, (props: { task: any, outcome: any }) => unknown>} */
const PANES = {
  crawl: CrawledPage,
  depth: DepthPane,
  detect: DetectionsPane,
  embeddings: EmbeddingsPane,
  features: FeaturesPane,
  "image-edit": ImagesPane,
  "image-generation": ImagesPane,
  "image-variation": ImagesPane,
  ocr: OcrPane,
  pointcloud: PointsPane,
  rerank: RankingPane,
  segment: SegmentsPane,
  transcription: TranscriptPane,
  translation: TranscriptPane,
};

/** @param {{ id: string }} task */
export function paneFor(task) {
  return PANES[task.id] ?? AnyPane;
}
