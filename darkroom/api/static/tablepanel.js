/** The stages of a table on the order form: what each of them will be, and the pictures that its rows name. */

import { ask, isOffline } from "./ask.js";
import { announce } from "./announce.js";
import { el, say } from "./dom.js";
import { at } from "./root.js";
import { fromTable, lacks, missingFiles, nameFor, stagesOf, tableTitle, variablesOf } from "./tabledraft.js";
import { count, number } from "./words.js";

const SHOWN = 50;

/** Read a file as a table. @param {File} file @returns {Promise<import("./tabledraft.js").TableDraft>} */
export async function readTable(file) {
  const type = /\.tsv$/i.test(file.name) ? "text/tab-separated-values" : "text/csv";
  const read = await ask(at("/api/tables"), { method: "POST", form: file.slice(0, file.size, type), headers: { "Content-Type": type } });
  return fromTable(file.name, read);
}

export class TablePanel {
  #table = null;
  #all = false;
  #quote = null;

  /**
   * @param {HTMLElement} root
   * @param {{changed: () => void, remove: () => void, insert: (text: string) => void}} tell
   */
  constructor(root, tell) {
    this.root = root;
    this.tell = tell;
    this.frame = root.querySelector("[data-rows-frame]");
    this.body = root.querySelector("[data-rows]");
    this.more = root.querySelector("[data-rows-more]");
    this.empty = root.querySelector("[data-table-empty]");
    this.named = root.querySelector("[data-named]");
    this.columns = root.querySelector("[data-columns]");
    root.querySelector("[data-table-remove]").addEventListener("click", () => tell.remove());
    this.more.querySelector("button").addEventListener("click", () => {
      this.#all = true;
      this.#drawRows();
      this.frame.focus();
    });
    const input = root.querySelector("input[type=file]");
    input.addEventListener("change", () => {
      const others = this.take([...input.files]);
      if (others.length) this.#say(`${others[0].name} is not named in the table.`);
      input.value = "";
    });
  }

  /** @param {import("./tabledraft.js").TableDraft|null} table */
  show(table) {
    this.#table = table;
    this.#all = false;
    this.#quote = null;
    this.root.hidden = !table;
    if (!table) return;
    say(this.root.querySelector("[data-table-title]"), tableTitle(table, stagesOf(table)));
    const variables = variablesOf(table);
    const put = (name) =>
      el("button", { class: "button", type: "button", title: `Insert {${name}} at the cursor`, onclick: () => this.tell.insert(`{${name}}`) }, `{${name}}`);
    this.columns.replaceChildren("Columns", ...variables.map(put));
    this.columns.hidden = !variables.length;
    this.#drawNamed();
    this.draw({ quote: null, problem: null }, false);
  }

  /** Take the pictures that the table names, and give the other files. @param {File[]} files */
  take(files) {
    const table = this.#table;
    if (!table) return files;
    return files.filter((file) => {
      const name = nameFor(table, file);
      if (name) this.#send(table, name, file);
      return !name;
    });
  }

  async #send(table, name, file) {
    const form = new FormData();
    form.append("file", file);
    try {
      const { attach_id, thumbnail_url } = await ask(at("/api/attachments"), { method: "POST", form });
      table.files[name] = { attach_id, thumbnail_url };
      announce(`${name} added`, true);
      this.#drawNamed();
      this.tell.changed();
    } catch (error) {
      this.#say(isOffline(error) ? `${name} was not uploaded: Darkroom is unreachable. Add it again.` : `${error.message}.`);
    }
  }

  /** Show what the server says. @param {{quote: object|null, problem: object|null}} answer @param {boolean} wrong */
  draw({ quote, problem }, wrong) {
    if (!this.#table) return;
    if (quote) this.#quote = quote;
    else if (problem || wrong) this.#quote = null;
    this.frame.setAttribute("aria-busy", String(!quote));
    this.#drawRows();
  }

  #drawRows() {
    const stages = this.#quote?.stages ?? [];
    const shown = this.#all ? stages : stages.slice(0, SHOWN);
    this.frame.hidden = !stages.length;
    say(this.empty, stages.length || missingFiles(this.#table).length ? "" : "The stages are shown here once the prompt is written.");
    this.empty.hidden = !this.empty.textContent;
    this.body.replaceChildren(...shown.map((stage, index) => this.#row(stage, index)));
    this.more.hidden = shown.length === stages.length;
    say(this.more.querySelector("button"), `Show all ${count(stages.length, "stage", "stages")}`);
  }

  #row({ label, prompt, quantity, aspect_ratio, references, credits }, index) {
    const cell = (text, kind = null) => el("td", { class: kind }, text);
    return el(
      "tr", {},
      cell(number(this.#table.numbers[index] ?? index + 1), "number"), cell(label, "stage-name"), cell(prompt, "prompt"),
      cell(number(quantity), "number"), cell(aspect_ratio), cell(number(references.length), "number"), cell(number(credits), "number"),
    );
  }

  #drawNamed() {
    this.#say(lacks(this.#table)[0] ?? "");
    this.named.hidden = !missingFiles(this.#table).length;
  }

  #say(words) {
    say(this.named.querySelector("[data-named-missing]"), words);
    this.named.hidden = !words;
  }
}
