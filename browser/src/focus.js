// Where the focus is, or nothing once it has been everywhere: its name, whether it is behind the last one in the page's order, and whether it can be seen.
(() => {
  const element = document.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  if (element === window.passed[0]) return null;
  const last = window.passed.at(-1);
  window.passed.push(element);
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const is_on_screen = box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
  return {
    name: element.getAttribute("aria-label") ?? (element.textContent.trim() || element.labels?.[0]?.textContent.trim() || element.tagName),
    is_after: !last || Boolean(last.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING),
    is_seen: is_on_screen && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
})()
