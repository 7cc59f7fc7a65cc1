// Starts `migrate policy lsp` for policy files: mistakes, hover, completion, definitions, format.
"use strict";

const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
  const command = workspace.getConfiguration("migratePolicy").get("command");
  client = new LanguageClient(
    "migratePolicy",
    "Migrate policy",
    { command, args: ["policy", "lsp"] },
    { documentSelector: [{ language: "migrate-policy" }] },
  );
  return client.start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
