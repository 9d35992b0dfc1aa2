// What pages do beyond being read: tell the reader's time zone, follow the balance, copy, and switch the theme.
// Every page works without this file; what it adds comes from the server.
"use strict";

const YEAR_SECONDS = 365 * 24 * 3600;
const POLL_MS = 10_000;

function remember(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=${YEAR_SECONDS}; samesite=lax${secure}`;
}

remember("farebox-zone", Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");

// Follow what changes on the server: by its events, or, while they don't come through, by asking every ten seconds.
function follow(element) {
  const tell = () => htmx.trigger(document.body, "farebox:changed");
  const lamps = () => document.querySelectorAll(".live");
  let poll = null;
  const events = new EventSource(element.dataset.follow);
  const show = (isOn) => lamps().forEach((lamp) => lamp.classList.toggle("on", isOn));
  events.addEventListener("open", () => {
    clearInterval(poll);
    poll = null;
    show(true);
  });
  events.addEventListener("changed", tell);
  const ask = () => {
    show(false);
    poll ??= setInterval(tell, POLL_MS);
  };
  events.addEventListener("error", ask);
  // Many pages of this person's are open: the newest are told of changes, the others ask.
  events.addEventListener("enough", () => {
    events.close();
    ask();
  });
  document.body.addEventListener("htmx:afterSettle", () => show(events.readyState === EventSource.OPEN));
  addEventListener("pagehide", () => events.close());
}

document.querySelectorAll("[data-follow]").forEach(follow);

// On a phone a row of links may be wider than the screen: the one that is current is brought into sight.
document.querySelectorAll("nav [aria-current]").forEach((link) => {
  const row = link.parentElement;
  row.scrollLeft += link.getBoundingClientRect().left - row.getBoundingClientRect().left
    - (row.clientWidth - link.clientWidth) / 2;
});

// What changes without a new page is said to those who don't see it, once.
const announcer = document.getElementById("announcer");
const banner = () => document.querySelector("[data-banner]")?.textContent.trim() ?? "";
let announced = banner();

function announce(words) {
  if (announcer) announcer.textContent = words;
}

// A part that is replaced keeps what was opened in it; a link in it that has the focus has an id, by which htmx keeps it.
let opened = [];
document.body.addEventListener("htmx:beforeSwap", () => {
  opened = [...document.querySelectorAll("details[open][id]")].map((details) => details.id);
});
document.body.addEventListener("htmx:afterSettle", () => {
  opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  const words = banner();
  if (words !== announced) announce(words);
  announced = words;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-theme-to]");
  if (button === null) return;
  if (button.dataset.themeTo !== undefined) {
    const isDark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark")
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    const theme = isDark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remember("farebox-theme", theme);
    return;
  }
  const source = document.getElementById(button.dataset.copy);
  if (!navigator.clipboard) {
    // Without TLS browsers let nobody write there; so it is selected, for Ctrl-C.
    getSelection().selectAllChildren(source);
    return;
  }
  await navigator.clipboard.writeText(source.textContent.trim());
  const label = button.textContent;
  const copied = button.dataset.copied ?? "Copied";
  button.textContent = copied;
  announce(copied);
  setTimeout(() => { button.textContent = label; }, 1500);
});

// A form that is under way is not sent twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  // A form that only reads may lead to a download, which leaves the page as it is.
  if (button && event.target.method === "post") setTimeout(() => { button.disabled = true; }, 0);
});

// A page that the browser had kept is old: its balance is no longer followed, and whoever read it may have signed out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
  document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; });
});
