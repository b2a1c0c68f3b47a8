// Keeps the page in step with what happens; without it, reload.
(() => {
  const source = new EventSource("/api/events");
  let waiting = false;
  const refresh = async () => {
    waiting = false;
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text.replace(/<style[^]*?<\/style>/, ""), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (next && next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
    }
  };
  const later = () => {
    if (!waiting) {
      waiting = true;
      setTimeout(refresh, 400);
    }
  };
  source.addEventListener("message", later);
  source.addEventListener("journal", later);
})();
