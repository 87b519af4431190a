// Joins the page's controls to its pictures. Sorting and the slider are those of the libraries above.
(() => {
  "use strict";
  const one = (id) => document.getElementById(id);

  const dialog = one("large");
  for (const button of document.querySelectorAll("button.enlarge")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      one("large-title").textContent = button.dataset.title;
      one("large-image").src = image.src;
      one("large-image").alt = image.alt;
      dialog.showModal();
    });
  }
  one("large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  const slices = JSON.parse(one("compare-data").textContent);
  if (slices.length) {
    const controls = { left: one("compare-left"), right: one("compare-right") };
    const images = { left: one("compare-first"), right: one("compare-second") };
    const chosen = () => slices.find((slice) => slice.key === one("compare-slice").value);

    const show = () => {
      const slice = chosen();
      const errors = one("compare-errors").checked;
      for (const side of ["left", "right"]) {
        const place = controls[side].selectedIndex;
        const name = slice.names[place];
        // The truth has no error map: it stays as it is.
        const map = errors && slice.errors[place];
        images[side].src = map || slice.images[place];
        images[side].alt = `${side}: ${name}${map ? ", error map" : ""}`;
        one(`compare-${side}-score`).replaceChildren(name, document.createElement("br"), slice.scores[place]);
      }
      one("compare-note").textContent =
        (slice.simulated ? "Simulated slice. " : "") +
        (errors
          ? `Error maps: |reconstruction − truth|, from 0 (black) to ${slice.limit} (bright), one scale for all.`
          : "One grey scale for all.");
    };

    const choose = () => {
      const names = chosen().names;
      for (const [side, wanted] of [["left", "Undersampled"], ["right", "Proposed"]]) {
        const before = controls[side].value || wanted;
        controls[side].replaceChildren(...names.map((name) => new Option(name)));
        controls[side].selectedIndex = Math.max(names.indexOf(before), 0);
      }
      show();
    };
    one("compare-slice").addEventListener("change", choose);
    for (const control of [controls.left, controls.right, one("compare-errors")]) {
      control.addEventListener("change", show);
    }
    choose();
  }

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
