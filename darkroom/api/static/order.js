/** The order form: a card a stage, the price while one writes, and what is wrong at its field. */

import { announce } from "./announce.js";
import { ask, isOffline } from "./ask.js";
import { whileLost } from "./connection.js";
import { el, say } from "./dom.js";
import {
  afterwards, choose, cost, fromOrdered, isBlank, mistakes, newDraft, priceOf, sum, toDocument, wrongOf,
} from "./draft.js";
import { takeDropped } from "./dropping.js";
import { Finish } from "./finish.js";
import { keepDraft, keptDraft, newKey } from "./keeping.js";
import { besides } from "./ordertypes.js";
import { Payer } from "./payer.js";
import { Quoting } from "./quoting.js";
import { at } from "./root.js";
import { StageList } from "./stagelist.js";
import { isTableFile, needs, stagesOf } from "./tabledraft.js";
import { readTable, TablePanel } from "./tablepanel.js";
import { count } from "./words.js";

class OrderPage {
  /** What the server said last of the order as it stands. */
  #answer = { quote: null, problem: null };
  #tried = false;
  #ordering = false;

  constructor() {
    this.account = JSON.parse(document.getElementById("account").textContent);
    const provider = this.account.providers.find((one) => one.default) ?? this.account.providers[0];
    this.can = {
      shapes: provider.aspect_ratios, most: provider.max_references, limits: this.account.limits,
      priceOf: (stage) => priceOf(this.draft, stage, this.account.prices),
    };
    this.form = document.getElementById("order");
    this.list = new StageList(this.form.querySelector("[data-stages]"), this.can, {
      changed: () => this.#changed(),
      take: (files) => this.#take(files),
      say: (words) => this.#say(words),
      offer: (words, offer, accept) => this.#sayAbove(words, offer, accept),
    });
    this.message = this.form.querySelector("[data-message]");
    this.loaded = document.querySelector("[data-loaded]");
    this.besides = document.querySelector("[data-besides]");
    this.adding = this.form.querySelector("[data-adding]");
    this.panel = new TablePanel(this.form.querySelector("[data-table]"), {
      changed: () => this.#changed(),
      remove: () => this.#removeTable(),
      insert: (text) => this.list.cards[0].insert(text),
    });
    this.payer = new Payer(this.form.querySelector("[data-payer]"), this.account, (org_id) => this.#letPay(org_id));
    this.finish = new Finish(this.form.querySelector("[data-finish]"), this.account, provider.image_sizes, (field, value) => {
      choose(this.draft, field, value);
      this.#changed();
    });
    this.quoting = new Quoting((answer) => {
      this.#answer = answer;
      this.#draw();
    });
    this.#listen();
    this.form.hidden = false;
    const again = new URLSearchParams(location.search).get("again");
    this.#show(keptDraft());
    if (again) this.#again(again);
    else if (isBlank(this.draft)) this.list.cards[0].prompt.focus();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#order();
    });
    this.form.querySelector("[data-add]").addEventListener("click", () => this.list.add());
    this.form.addEventListener("keydown", (event) => this.#key(event));
    const file = this.form.querySelector("#table-file");
    file.addEventListener("change", () => {
      this.#take([...file.files]);
      file.value = "";
    });
    takeDropped(this.form, (files) => {
      const others = this.#take(files);
      if (others.length) this.list.cards.at(-1).references.add(others);
    });
    window.addEventListener("pagehide", () => this.#keep());
    if (/Mac|iP(hone|ad)/.test(navigator.userAgent)) this.form.querySelector("[data-modifier]").textContent = "⌘";
  }

  /** Enter adds a stage; in a prompt it breaks the line, and takes the other key beside it. */
  #key(event) {
    if (event.key !== "Enter" || event.isComposing || event.altKey || event.shiftKey) return;
    if (event.target.id === "name") return event.preventDefault();
    const writes = event.target.matches("textarea");
    const fills = event.target.matches("input:not([type=file])");
    if (!(writes && (event.ctrlKey || event.metaKey)) && !fills) return;
    event.preventDefault();
    if (!this.draft.table) this.list.add();
  }

  /** Take a table, and the pictures that one names; gives the other files. @param {File[]} files */
  #take(files) {
    const table = files.find(isTableFile);
    const pictures = files.filter((file) => !isTableFile(file));
    if (!table) return this.panel.take(pictures);
    this.#useTable(table, pictures);
    return [];
  }

  async #useTable(file, pictures) {
    this.#say("");
    let table;
    try {
      table = await readTable(file);
    } catch (error) {
      return this.#say(isOffline(error) ? "Darkroom is unreachable. Add the table again." : `${file.name}: ${error.message}.`);
    }
    const before = this.draft;
    const [stage] = before.stages;
    this.#show({ key: newKey(), ...(before.whole ? { whole: before.whole } : {}), stages: [{ ...stage, quantity: before.table ? stage.quantity : "1" }], table });
    const others = this.panel.take(pictures);
    if (others.length) this.list.cards[0].references.add(others);
    const said = `${file.name}: ${count(table.rows.length, "stage", "stages")}.`;
    if (isBlank(before)) this.#sayAbove(said);
    else this.#sayAbove(said, "Restore my draft", () => this.#show(before));
    announce(said, true);
    this.list.cards[0].focus();
  }

  #removeTable() {
    const before = this.draft;
    this.#show({ key: newKey(), stages: before.stages });
    this.list.cards[0].focus();
    this.#sayAbove("Table removed.", "Undo", () => this.#show(before));
  }

  /** @param {import("./draft.js").Draft} draft */
  #show(draft) {
    this.draft = draft;
    this.panel.show(draft.table ?? null);
    this.adding.hidden = Boolean(draft.table);
    this.#tried = false;
    this.list.show(draft);
    this.#drawBesides();
    this.#changed();
  }

  /** What the order says and no card shows; it is ordered too. */
  #drawBesides() {
    const words = besides(this.draft.whole);
    const startAnew = () => {
      this.loaded.hidden = true;
      this.#show(newDraft(newKey()));
      this.list.cards[0].prompt.focus();
    };
    this.besides.replaceChildren(`Also ordered as before: ${words}. `);
    this.besides.append(el("button", { class: "as-link", type: "button", onclick: startAnew }, "Start a new order"));
    this.besides.hidden = !words;
  }

  #letPay(org_id) {
    if (org_id) this.draft.org_id = org_id;
    else delete this.draft.org_id;
    this.#changed();
  }

  #changed() {
    this.#say("");
    const wrongs = mistakes(this.draft, this.can.limits);
    this.quoting.ask(wrongs.length ? null : this.draft);
    this.#draw();
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.#keep(), 300);
  }

  #keep() {
    clearTimeout(this.keeping);
    keepDraft(isBlank(this.draft) ? null : this.draft);
  }

  #draw() {
    const wrongs = this.#wrongs();
    this.list.cards.forEach((card, index) => {
      card.number(index, this.list.cards.length);
      card.draw();
      if (this.draft.table) card.share(needs(this.draft.table));
      card.say(wrongs.filter((wrong) => wrong.stage === index), this.#tried);
    });
    this.payer.draw(this.draft);
    this.finish.draw(this.draft);
    const { quote } = this.#answer;
    this.panel.draw(this.#answer, wrongs.length > 0);
    say(this.form.querySelector("[data-sum]"), sum(this.draft, this.account.prices, quote?.credits));
    const rest = afterwards(quote?.credits ?? cost(this.draft, this.account.prices), quote?.available ?? this.payer.available(this.draft));
    const balance = this.form.querySelector("[data-balance]");
    say(balance, [rest.words, ...(quote?.warnings ?? [])].join("; "));
    balance.classList.toggle("wrong", !rest.enough);
    const whole = wrongs.find((wrong) => wrong.stage === null);
    // What a table still lacks stands beside it, until somebody orders.
    if (whole && (whole.fromServer || !this.draft.table || this.#tried)) this.#say(whole.words);
  }

  #wrongs() {
    const { problem } = this.#answer;
    const wrongs = mistakes(this.draft, this.can.limits);
    return problem ? [...wrongs, { ...wrongOf(problem, this.draft), fromServer: true }] : wrongs;
  }

  async #order() {
    if (this.#ordering) return;
    this.#tried = true;
    this.#draw();
    const [first] = this.#wrongs();
    if (first) return this.#lead(first);
    this.#setOrdering(true);
    try {
      await Promise.all(this.list.cards.map((card) => card.references.sent()));
      const headers = { "Idempotency-Key": this.draft.key };
      const { urls } = await ask(at("/api/jobs"), { method: "POST", json: toDocument(this.draft), headers });
      // A page that the browser keeps for "back" must not order under the same key again.
      this.#show(newDraft(newKey()));
      this.#keep();
      location.assign(urls.page);
    } catch (error) {
      this.#refused(error);
    } finally {
      this.#setOrdering(false);
    }
  }

  #setOrdering(ordering) {
    this.#ordering = ordering;
    const button = this.form.querySelector("[data-order]");
    button.setAttribute("aria-disabled", String(ordering));
    button.textContent = ordering ? "Ordering …" : "Order";
  }

  #refused(error) {
    if (isOffline(error)) return this.#say("Darkroom is unreachable. Try again later; the order will be placed only once.");
    if (error.code === "idempotency_key_reused") {
      this.draft.key = newKey();
      this.#keep();
      this.#say("This order was already placed before you changed it: ");
      this.message.append(el("a", { href: at("/jobs") }, "view your jobs"), ". Select Order to place this one as well.");
      return;
    }
    const wrong = wrongOf(error, this.draft);
    if (wrong.stage === null) return this.#say(wrong.words);
    this.#answer = { quote: null, problem: error };
    this.#draw();
    this.#lead(wrong);
  }

  /** Put the cursor where something is wrong. */
  #lead({ stage, field, words }) {
    if (stage === null) return this.#say(words);
    this.list.cards[stage]?.focus(field);
    announce(`Stage ${stage + 1}: ${words}`, true);
  }

  async #again(job) {
    history.replaceState(null, "", at("/"));
    try {
      const ordered = await ask(at(`/api/jobs/${encodeURIComponent(job)}/order`));
      const before = this.draft;
      this.#show(fromOrdered(ordered, newKey()));
      const stages = this.draft.table ? stagesOf(this.draft.table) : this.draft.stages.length;
      const said = `Copied from job ${job.slice(0, 8)}: ${count(stages, "stage", "stages")}.`;
      if (isBlank(before)) this.#sayAbove(said);
      else this.#sayAbove(said, "Restore my draft", () => this.#show(before));
    } catch (error) {
      this.#say(error.status === 404 ? "The job to order again was not found, or it is not yours." : `${error.message}.`);
    }
  }

  #say(words) {
    this.message.textContent = words;
    this.message.hidden = !words;
    if (words) whileLost(() => this.message.textContent === words && this.#say(""));
  }

  #sayAbove(words, offer, accept) {
    const taken = () => {
      this.loaded.hidden = true;
      accept();
    };
    this.loaded.replaceChildren(words);
    if (offer) this.loaded.append(" ", el("button", { class: "as-link", type: "button", onclick: taken }, offer));
    this.loaded.hidden = false;
  }
}

new OrderPage();
