// Runs Codex's command line for a turn with a command, and one with an image. It may reach nothing but the server.
// Run as: node codex.mjs BASE_URL IMAGE_AS_DATA_URI

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [, , baseURL, image] = process.argv;
const require = createRequire(import.meta.url);
const program = join(require.resolve("@openai/codex/package.json"), "..", "bin", "codex.js");
const home = join(process.cwd(), "home");
mkdirSync(home, { recursive: true });
writeFileSync(join(process.cwd(), "image.png"), Buffer.from(image.split(",")[1], "base64"));
writeFileSync(
  join(home, "config.toml"),
  `model = "agent"
model_provider = "house"
approval_policy = "never"
[model_providers.house]
name = "house"
base_url = "${baseURL}"
wire_api = "responses"
[analytics]
enabled = false
`,
);

function turn(prompt, ...more) {
  const closed = "http://127.0.0.1:9";
  const environment = { CODEX_HOME: home, HTTP_PROXY: closed, HTTPS_PROXY: closed, NO_PROXY: "127.0.0.1,localhost" };
  const done = spawnSync("node", [program, "exec", "--skip-git-repo-check", "--json", ...more, "--", prompt], {
    env: { ...process.env, ...environment },
    input: "",
    encoding: "utf-8",
    timeout: 200_000,
  });
  const events = done.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const items = events.filter((event) => event.type === "item.completed").map((event) => event.item);
  const last = events.at(-1) ?? {};
  return {
    said: items.filter((item) => item.type === "agent_message").map((item) => item.text),
    commands: items.filter((item) => item.type === "command_execution").map((item) => item.command),
    end: last.type === "turn.completed" ? (last.usage.output_tokens > 0 ? "completed" : "uncounted") : done.stderr,
  };
}

console.log(JSON.stringify({ command: turn("Weather?"), image: turn("What is this?", "-i", "image.png") }));
