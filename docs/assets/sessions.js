/* Recorded terminal sessions: each <div class="session" data-cast="…"> becomes a player, loaded from
   this site when a page has one. It takes the colours of the page, light or dark. */
(() => {
  const base = new URL("vendor/", document.currentScript.src);
  const places = () => [...document.querySelectorAll(".session[data-cast]")];
  const dark = () => document.body.dataset.mdColorScheme === "slate";
  const add = (tag, words) => new Promise((resolve, reject) =>
    document.head.append(Object.assign(document.createElement(tag),
      {...words, onload: resolve, onerror: reject})));
  const players = [];
  const draw = () => {
    for (const player of players.splice(0)) player.dispose();
    for (const place of places()) {
      place.replaceChildren();
      players.push(AsciinemaPlayer.create(new URL(place.dataset.cast, location.href).href, place, {
        fit: "width", idleTimeLimit: 2, poster: "npt:0:03", preload: true,
        theme: dark() ? "asciinema" : "solarized-light", terminalFontSize: "small",
      }));
    }
  };
  document.addEventListener("DOMContentLoaded", async () => {
    if (!places().length) return;
    await Promise.all([
      add("link", {rel: "stylesheet", href: new URL("asciinema-player.css", base)}),
      add("script", {src: new URL("asciinema-player.min.js", base)}),
    ]);
    draw();
    let was = dark();
    new MutationObserver(() => { if (dark() !== was) { was = dark(); draw(); } })
      .observe(document.body, {attributes: true, attributeFilter: ["data-md-color-scheme"]});
  });
})();
