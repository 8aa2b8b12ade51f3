/* Diagrams: Material would fetch Mermaid from a CDN. Here a small stand-in takes its place and loads
   the library from this site, 3.5 MB, only when a page really has a diagram to draw. */
(() => {
  const base = new URL("vendor/", document.currentScript.src);
  let settings, library;
  const load = () => library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("mermaid.min.js", base);
    script.onload = () => { window.mermaid.initialize(settings); resolve(window.mermaid); };
    script.onerror = reject;
    document.head.append(script);
  });
  window.mermaid = {
    initialize(given) { settings = given; },
    async render(...words) { return (await load()).render(...words); },
  };
})();
