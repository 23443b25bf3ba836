// Checks an AsyncAPI document with @asyncapi/parser: node check_asyncapi.cjs asyncapi.json
// Prints what is wrong; what is only advice does not fail it.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

const LEVELS = ["error", "warning", "information", "hint"];

async function main() {
  const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
  for (const { severity, path, message } of diagnostics) {
    console.log(`${LEVELS[severity]}: /${path.join("/")}: ${message}`);
  }
  const wrong = diagnostics.filter(({ severity }) => LEVELS[severity] === "error").length;
  if (wrong > 0 || document === undefined) process.exit(1);
  const operations = document.operations().all();
  const messages = operations.flatMap((operation) => operation.messages().all());
  console.log(`AsyncAPI ${document.version()}: ${operations.length} operations, ${messages.length} messages`);
  if (operations.length === 0 || messages.length === 0) process.exit(1);
}

main();
