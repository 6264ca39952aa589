"""Constrained decoding: holds an answer to a grammar by masking, before each token, the tokens that do not fit.

`grammar` has the building blocks with which a response format or a tool format says what an answer looks like, and
`schemas` prepares JSON Schemas for it. Both are pure. `lark` writes a grammar in llguidance's syntax. `vocabulary`
prepares a model's tokenizer, once, while its weights are loaded. `compiler` turns grammars into a `TokenConstraint` for
each choice, which follows it token by token, and `masks` computes the masks of all rows while the model runs a step.

A tool format states its grammar (`ToolFormat.form`) like this, for calls as Qwen writes them:

    from workers.toolkit.chat.constraints import grammar as g, schemas

    def call(name, parameters):
        prepared = schemas.prepare(parameters, strict=True, field="tools")  # refuses by keyword what cannot be held
        return g.sequence(
            g.text('{"name": ' + json.dumps(name) + ', "arguments": '), g.json_value(prepared.schema), g.text("}")
        )

    one = g.sequence(g.text("<tool_call>\\n"), g.either(*(call(*tool) for tool in tools)), g.text("\\n</tool_call>"))

    required = g.repeated(one, separator=g.text("\\n"))  # several calls; just `one` for a single call
    named = ...  # the same with only the named tool
    auto = g.calls_in_text("<tool_call>", after_marker)  # free text, and calls that fit after each marker
    thinking = g.after_thoughts("</think>", required)  # whatever the model thinks, then `required`

In `g.text` and as a marker, special tokens are written by their names: `g.text("<|python_tag|>")`. Where the model has
a special token of this name, that token is meant, and otherwise the characters.
"""
