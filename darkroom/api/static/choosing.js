/** Choosing pictures to download: while it is on, a click on a picture chooses it instead of opening it. */

import { announce } from "./announce.js";
import { chosen, idRanges } from "./chosen.js";
import { say } from "./dom.js";
import { number } from "./words.js";

/** Characters of a URL's choice that the API takes. */
const LONGEST = 32_000;

export class Choosing {
  on = false;

  /**
   * @param {HTMLElement} head
   * @param {HTMLElement} main
   * @param {() => string} archive the archive's URL
   * @param {(words: string) => void} complain says what cannot be done
   */
  constructor(head, main, archive, complain) {
    this.main = main;
    this.archive = archive;
    this.complain = complain;
    this.toggle = head.querySelector("[data-choose]");
    this.link = head.querySelector("[data-chosen-archive]");
    this.toggle.addEventListener("click", () => this.#turn(!this.on));
    this.link.addEventListener("click", (event) => this.link.getAttribute("href") || event.preventDefault());
    document.addEventListener("keydown", (event) => {
      if (this.on && event.key === "Escape" && !document.querySelector("dialog[open]")) this.#turn(false);
    });
  }

  /** Whether there is anything to choose from. @param {boolean} possible */
  draw(possible) {
    this.toggle.hidden = !possible;
    if (!possible && this.on) this.#turn(false);
  }

  /** @param {import("./model.js").Picture} picture @param {Element} link that shows it */
  choose(picture, link) {
    if (!chosen.delete(picture.attach_id)) chosen.add(picture.attach_id);
    markChosen(link.closest("[data-frame]"), picture);
    this.#count();
    announce(`${number(chosen.size)} chosen`, true);
  }

  #turn(on) {
    this.on = on;
    this.main.classList.toggle("choosing", on);
    this.toggle.setAttribute("aria-pressed", String(on));
    say(this.toggle, on ? "Stop choosing" : "Choose pictures");
    if (!on) {
      chosen.clear();
      for (const frame of this.main.querySelectorAll("[data-chosen]")) markChosen(frame, null);
      if (document.activeElement === this.link) this.toggle.focus();
    }
    this.#count();
  }

  #count() {
    const ids = idRanges(chosen);
    const tooMany = ids.length > LONGEST;
    this.complain(tooMany ? "Too many single pictures are chosen for one download: choose fewer, or download a stage." : "");
    this.link.hidden = !chosen.size || tooMany;
    say(this.link, `Download ${number(chosen.size)} chosen`);
    if (this.link.hidden) this.link.removeAttribute("href");
    else this.link.href = `${this.archive()}?pictures=${ids}`;
  }
}

/** @param {HTMLElement} frame @param {import("./model.js").Picture|null} picture null: it is not chosen any more */
function markChosen(frame, picture) {
  const isChosen = picture !== null && chosen.has(picture.attach_id);
  frame.toggleAttribute("data-chosen", isChosen);
  const image = frame.querySelector("img");
  if (image) image.alt = isChosen ? `${image.alt}, chosen` : image.alt.replace(/, chosen$/, "");
}
