/** The reason of a missed, refused or retried frame, where it is pointed at or focused. */

import { el } from "./dom.js";

/** @param {HTMLElement} strips */
export function showTips(strips) {
  const tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  document.body.append(tip);
  let over = null;

  const show = (event) => {
    const says = event.target.closest?.("[data-tip]");
    if (!says) return hide();
    over = says;
    tip.textContent = says.getAttribute("aria-label");
    tip.hidden = false;
    const frame = says.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(16, frame.left), document.documentElement.clientWidth - width - 16);
    const top = frame.top - height - 8;
    tip.style.transform = `translate(${Math.max(8, left)}px, ${top < 8 ? frame.bottom + 8 : top}px)`;
  };
  const hide = () => {
    over = null;
    tip.hidden = true;
  };

  strips.addEventListener("pointerover", show);
  strips.addEventListener("focusin", show);
  strips.addEventListener("focusout", hide);
  strips.addEventListener("pointerleave", hide);
  window.addEventListener("scroll", () => over && hide(), { passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
