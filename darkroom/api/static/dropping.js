/** Files that are dropped on the order form, beside its cards. */

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** @param {HTMLElement} form @param {(files: File[]) => void} take */
export function takeDropped(form, take) {
  form.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    form.classList.toggle("over", !event.target.closest("[data-stage-card]"));
  });
  form.addEventListener("dragleave", (event) => form.contains(event.relatedTarget) || form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    form.classList.remove("over");
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}
