/** The page of a job: it takes over what the server drew, and follows the job from there. */

import { announce } from "./announce.js";
import { ask } from "./ask.js";
import { CancelDialog } from "./cancel.js";
import { Choosing } from "./choosing.js";
import { whileLost } from "./connection.js";
import { DeleteDialog } from "./deleting.js";
import { say } from "./dom.js";
import { JumpList } from "./folding.js";
import { drawHead } from "./head.js";
import { moveByKeys } from "./keys.js";
import { LightTable } from "./lighttable.js";
import { Job } from "./model.js";
import { Naming } from "./naming.js";
import { fetchPictures } from "./pictures.js";
import { at } from "./root.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { showTips } from "./tip.js";
import { cancelSentence, isEnded, number, spoken } from "./words.js";

/** Milliseconds that a picture may be on its way before it is fetched. */
const ON_ITS_WAY = 2000;

class JobPage {
  /** Stages that are to be drawn. @type {Set<import("./model.js").Stage>} */
  #changed = new Set();
  #drawing = false;
  #healing = null;
  /** What is being fetched, by stage; null for all. @type {Map<number|null, Promise<void>>} */
  #fetching = new Map();
  #learning = null;

  constructor() {
    this.head = document.querySelector("[data-head]");
    this.message = document.querySelector("[data-message]");
    this.main = document.getElementById("main");
    this.jumpList = new JumpList(this.head.querySelector("[data-jump]"), () => this.job, () => document.getElementById("strips"));
    this.#adopt(document);
    this.cancelDialog = new CancelDialog(
      () => cancelSentence(this.job.view, this.job.callsInProgress),
      () => this.#send("cancel"),
    );
    this.deleteDialog = new DeleteDialog(() => this.job.view.urls, (words) => this.#say(words));
    this.naming = new Naming(
      this.head.querySelector(".job-name"), () => this.job.view.urls.self, (view) => this.#progress(view), (words) => this.#say(words),
    );
    this.choosing = new Choosing(this.head, this.main, () => this.job.view.urls.archive, (words) => this.#say(words));
    this.lightTable = new LightTable({
      sequence: () => this.job.sequence(),
      fetchUnheld: () => (this.job.unheld ? this.#fetchUnheld() : null),
      elementOf: (stage, picture) => this.strips.get(stage.index)?.elementOf(picture) ?? null,
    });
    this.main.addEventListener("click", (event) => this.#click(event));
    this.head.addEventListener("submit", (event) => this.#submit(event));
    document.addEventListener("visibilitychange", () => document.hidden || this.#checkAgain());
    this.stream = new Stream(this.job.view.urls, {
      progress: (view) => this.#progress(view),
      stage: (view) => this.#stage(view),
      image: (picture) => this.#picture(picture),
      end: (view) => this.#end(view),
      gone: () => this.#say("This job no longer exists, or it is not yours."),
      known: () => this.job.known,
    });
    if (!this.job.over) this.stream.open();
    this.#draw();
  }

  /** Take over strips as the server drew them, into the page. @param {Document} from */
  #adopt(from) {
    this.job = new Job(JSON.parse(from.getElementById("state").textContent));
    const drawn = from.getElementById("strips");
    if (from !== document) document.getElementById("strips").replaceWith(document.adoptNode(drawn));
    this.strips = new Map();
    for (const root of drawn.querySelectorAll("[data-stage]")) {
      const stage = this.job.stages.get(Number(root.dataset.stage));
      this.strips.set(stage.index, new Strip(root, stage, this.job, () => this.#fetchUnheld(stage)));
      this.#changed.add(stage);
    }
    showTips(drawn);
    moveByKeys(drawn, (strip) => this.strips.get(Number(strip.dataset.stage))?.gallery ?? null);
  }

  #progress(view) {
    this.job.take(view);
    this.#soon();
    announce(spoken(view));
    if (this.job.behind) this.#healing ??= setTimeout(() => this.#heal(), ON_ITS_WAY);
  }

  #stage(view) {
    const stage = this.job.takeStage(view);
    if (!stage) return this.#learnStages();
    this.#changed.add(stage);
    this.#soon();
  }

  #picture(picture) {
    if (!this.job.stages.has(picture.stage_index)) return this.#learnStages();
    const stage = this.job.takePicture(picture);
    if (!stage) return;
    this.#changed.add(stage);
    this.#soon();
  }

  #end(view) {
    this.job.take(view);
    for (const stage of this.job.stages.values()) this.#changed.add(stage);
    this.cancelDialog.close();
    this.#soon();
    announce(spoken(view), true);
    this.#showBalance();
  }

  /** What was held for the job and not spent has gone back. */
  async #showBalance() {
    const account = await ask(at("/api/account")).catch(() => null);
    if (account) say(document.querySelector("[data-available]"), number(account.available));
  }

  /** Draw before the next frame; also while the tab is hidden, for its title. */
  #soon() {
    if (this.#drawing) return;
    this.#drawing = true;
    const draw = () => this.#draw();
    if (document.hidden) setTimeout(draw, 500);
    else requestAnimationFrame(draw);
  }

  #draw() {
    this.#drawing = false;
    drawHead(this.head, this.job);
    this.jumpList.draw();
    this.naming.draw(this.job.view.name);
    this.cancelDialog.draw();
    this.choosing.draw(this.job.view.completed_images > 0 && !this.job.view.deleted_at);
    const stopping = `${this.job.over} ${this.job.stopping}`;
    const stages = stopping === this.stopping ? this.#changed : this.job.stages.values();
    this.stopping = stopping;
    for (const stage of stages) this.strips.get(stage.index)?.draw(!document.hidden);
    this.#changed.clear();
    this.lightTable.refresh();
  }

  /** Fetch what was delivered and whose events have not arrived. */
  async #heal() {
    try {
      if (this.job.behind) await fetchPictures(this.job.view.urls.images, this.job.known, (pictures) => pictures.forEach((one) => this.#picture(one)));
    } catch {
      // The line at the top says so; the next progress tries again.
    } finally {
      this.#healing = null;
    }
  }

  /** Fetch the pictures that the server left out, once: of a stage, or of all. @param {import("./model.js").Stage} [stage] */
  #fetchUnheld(stage) {
    if (!(stage ?? this.job).unheld) return Promise.resolve();
    const key = stage?.index ?? null;
    const take = (pictures) => pictures.forEach((one) => this.#picture(one));
    const which = { before: this.job.known + 1, stage: key };
    if (!this.#fetching.has(key)) {
      const fetching = fetchPictures(this.job.view.urls.images, 0, take, which).finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    return this.#fetching.get(key);
  }

  /** A job that was not opened yet has no stages: take them as the server draws them now. */
  #learnStages() {
    this.#learning ??= this.#learn().finally(() => (this.#learning = null));
  }

  async #learn() {
    const answer = await fetch(location.pathname);
    if (!answer.ok) return;
    this.#adopt(new DOMParser().parseFromString(await answer.text(), "text/html"));
    this.#draw();
    if (!this.job.over) this.stream.open();
  }

  /** Another tab may have restarted a job that has ended here. */
  async #checkAgain() {
    if (!this.job.over) return;
    const view = await ask(this.job.view.urls.self).catch(() => null);
    if (view && !isEnded(view.status)) this.stream.open();
  }

  #click(event) {
    const link = event.target.closest("[data-frame] > a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const strip = this.strips.get(Number(link.closest("[data-stage]").dataset.stage));
    const picture = strip?.pictureOf(link);
    if (!picture) return;
    event.preventDefault();
    if (this.choosing.on) this.choosing.choose(picture, link);
    else this.lightTable.open(strip.stage, picture);
  }

  #submit(event) {
    const action = event.target.dataset.action;
    if (!["pause", "resume", "cancel", "restart", "delete"].includes(action)) return;
    event.preventDefault();
    if (action === "delete") return this.deleteDialog.open();
    if (action === "cancel") this.cancelDialog.open();
    else this.#send(action);
  }

  async #send(action) {
    const form = this.head.querySelector(`[data-action="${action}"]`);
    if (form.getAttribute("aria-busy") === "true") return;
    form.setAttribute("aria-busy", "true");
    this.#say("");
    try {
      const answer = await ask(this.job.view.urls[action], { method: "POST" });
      if (answer.success) announce(answer.message, true);
      else this.#say(answer.message);
      if (action === "restart" && answer.success) this.stream.open();
    } catch (error) {
      this.#say(`${error.message}.`);
    } finally {
      form.removeAttribute("aria-busy");
    }
  }

  #say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
    if (text) whileLost(() => this.message.textContent === text && this.#say(""));
  }
}

new JobPage();
