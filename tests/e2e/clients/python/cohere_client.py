"""Runs Cohere's client, of both versions of its API, for ranking and embeddings: URL of the API, image. Prints JSON."""

import json
import sys

import cohere

URL, IMAGE = sys.argv[1:]
ROOT = URL.removesuffix("/v1")
DOCUMENTS = ["the market", "a cat sleeps", "a cat"]
first = cohere.Client(api_key="none", base_url=ROOT)
second = cohere.ClientV2(api_key="none", base_url=ROOT)

old = first.rerank(
    model="ranker",
    query="a cat sleeps",
    documents=[{"text": text, "page": number} for number, text in enumerate(DOCUMENTS)],
    rank_fields=["text"],
    return_documents=True,
    top_n=1,
)
new = second.rerank(model="ranker", query="a cat sleeps", documents=DOCUMENTS, top_n=2, max_tokens_per_doc=100)
texts = second.embed(
    model="minilm", input_type="search_document", texts=["one", "two"], embedding_types=["float"], truncate="END"
)
mixed = second.embed(
    model="minilm",
    input_type="search_document",
    inputs=[{"content": [{"type": "text", "text": "one"}]}],
    embedding_types=["base64"],
)
try:
    second.embed(model="minilm", input_type="image", images=[IMAGE], embedding_types=["float"])
    refused = ""
except cohere.errors.BadRequestError as error:
    refused = error.body["message"]
try:
    second.rerank(model="nope", query="a", documents=["b"])
    missing = ""
except cohere.errors.NotFoundError as error:
    missing = error.body["message"]
results = {
    "old": [[result.index, result.document.text] for result in old.results],
    "new": [result.index for result in new.results],
    "units": [old.meta.billed_units.search_units, new.meta.billed_units.search_units],
    "vectors": [len(vector) for vector in texts.embeddings.float_],
    "encoded": len(mixed.embeddings.base64[0]) > 2000,
    "refused": "support" in refused,
    "missing": "There is no model 'nope'" in missing,
}
print(json.dumps(results))
