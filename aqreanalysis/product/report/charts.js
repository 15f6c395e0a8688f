"use strict";
// What is folded is printed too, and folded again after it.
addEventListener("beforeprint", () => {
  for (const chart of document.querySelectorAll("details.chart-box:not([open])")) { chart.open = true; chart.dataset.folded = ""; }
});
addEventListener("afterprint", () => {
  for (const chart of document.querySelectorAll("details.chart-box[data-folded]")) { chart.open = false; delete chart.dataset.folded; }
});
// A link to a figure opens it.
function unfold() {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found && found.matches("details.chart-box")) { found.open = true; found.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();
const unfoldAll = document.getElementById("unfold-charts");
if (unfoldAll) {
  unfoldAll.hidden = false;
  unfoldAll.addEventListener("click", () => {
    const boxes = [...document.querySelectorAll("details.chart-box")], open = boxes.some((box) => !box.open);
    for (const box of boxes) { box.open = open; }
  });
}
