// Before the first paint, so that a chosen theme doesn't flash. The rest of it is in view/theme.js.
try {
  document.documentElement.dataset.theme = localStorage.getItem("repartee.theme") ?? "system";
} catch {
  document.documentElement.dataset.theme = "system"; // a browser that keeps nothing
}
