"""Runs LlamaIndex's clients of Text Embeddings Inference, and prints the results as JSON: URL of the API, image."""

import asyncio
import json
import sys

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

ROOT = sys.argv[1].removesuffix("/v1")
embedder = TextEmbeddingsInference(model_name="BAAI/bge-large-en-v1.5", base_url=ROOT, auth_token="none")
ranker = TextEmbeddingInference(base_url=ROOT, top_n=1)
nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("the market", "a cat sleeps")]
results = {
    "one": len(embedder.get_text_embedding("one")),
    "query": len(embedder.get_query_embedding("one")),
    "many": [len(vector) for vector in asyncio.run(embedder.aget_text_embedding_batch(["one", "two"]))],
    "ranked": [found.node.text for found in ranker.postprocess_nodes(nodes, QueryBundle("a cat sleeps"))],
}
print(json.dumps(results))
