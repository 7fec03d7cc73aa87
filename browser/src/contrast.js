// Every text whose contrast with what is behind it is below 4.5, as WCAG 2.2 reckons it.
(() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((ground, layer) => over(layer, ground), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const opacity = (element) => {
    let share = 1;
    for (let one = element; one; one = one.parentElement) share *= Number(getComputedStyle(one).opacity);
    return share;
  };
  const faint = [];
  const look = (element, text) => {
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (style.visibility !== "visible" || box.width === 0 || box.height === 0) return;
    const ground = behind(element);
    const [r, g, b, a] = parse(style.color);
    const ink = over([r, g, b, a * opacity(element)], ground);
    const [bright, dim] = [light(ink), light(ground)].sort((one, other) => other - one);
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${text.trim().slice(0, 60)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement, textContent } = walker.currentNode;
    if (textContent.trim() && !["SCRIPT", "STYLE", "NOSCRIPT"].includes(parentElement.tagName)) look(parentElement, textContent);
  }
  for (const field of document.querySelectorAll("input, select, textarea")) look(field, field.value || field.tagName);
  return faint;
})()
