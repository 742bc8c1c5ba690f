// Before the first paint, so that a chosen theme doesn't flash. The rest of it is in view/theme.js.
document.documentElement.dataset.theme = localStorage.getItem("repartee.theme") ?? "system";
