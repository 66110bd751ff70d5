"""What is wrong with a page as it stands in a browser: measured from its document, so that nobody
has to look at every picture.

Contrast is as in https://www.w3.org/TR/WCAG22/#contrast-minimum and #non-text-contrast.
"""

from typing import Any

from tests.servers.browser import Page

_MEASURE = """
(() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width)
    found.push(`scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`);

  const rgba = (text) => {
    const srgb = text.match(/^color\\(srgb ([^)]*)\\)$/);
    const parts = (srgb ? srgb[1] : text).match(/[\\d.]+/g).map(Number);
    const [r, g, b] = srgb ? parts.slice(0, 3).map((each) => each * 255) : parts;
    return [r, g, b, parts.length > 3 ? parts[3] : 1];
  };
  const over = (top, below) =>
    [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((each) => {
      const share = each / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const describe = (element) => `${element.tagName.toLowerCase()} ` +
    `"${element.textContent.trim().slice(0, 40)}"`;

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const labels = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("title, style, details:not([open]) > :not(summary)"))
      continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    let scrolls = false;
    for (let at = element; at !== document.body; at = at.parentElement)
      scrolls ||= /auto|scroll/.test(getComputedStyle(at).overflowX);
    for (const box of scrolls ? [] : range.getClientRects()) {
      if (box.left < -0.5 || box.right > width + 0.5)
        found.push(`outside the window: ${describe(element)}`);
      for (let at = element; at && at !== document.body; at = at.parentElement) {
        const style = getComputedStyle(at);
        const edge = at.getBoundingClientRect();
        if (/hidden|clip/.test(style.overflowX + style.overflowY) && at.tagName !== "svg"
            && (box.right > edge.right + 1 || box.bottom > edge.bottom + 1))
          found.push(`cut off by ${at.tagName.toLowerCase()}: ${describe(element)}`);
        if (at.tagName === "SECTION" && (box.right > edge.right || box.bottom > edge.bottom + 1))
          found.push(`outside its section: ${describe(element)}`);
      }
    }
    if (element.tagName === "text") labels.push([element, element.getBoundingClientRect()]);
    const style = getComputedStyle(element);
    const ink = rgba(element.tagName === "text" ? style.fill : style.color);
    const behind = background(element);
    const ratio = contrast(over(ink, behind), behind);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${describe(element)}`);
  }
  for (const [one, a] of labels)
    for (const [other, b] of labels)
      if (one !== other && a.left < b.right && b.left < a.right && a.top < b.bottom
          && b.top < a.bottom) found.push(`overlap: ${describe(one)} and ${describe(other)}`);

  for (const shape of document.querySelectorAll("rect[class]")) {
    const ratio = contrast(rgba(getComputedStyle(shape).fill), background(shape.closest("svg")));
    if (ratio < 3) found.push(`contrast of a bar ${ratio.toFixed(2)}: ${shape.classList}`);
  }
  for (const columns of document.querySelectorAll(".pair, .lists")) {
    const edge = columns.getBoundingClientRect();
    const right = Math.max(...[...columns.children].map((e) => e.getBoundingClientRect().right));
    if (right < edge.right - 2) found.push(`an empty column: ${edge.right - right} px`);
  }
  return [...new Set(found)];
})()
"""


def faults(page: Page) -> Any:
    """What a reader could not read, or would have to scroll sideways for; empty if all is well."""
    return page.evaluate(_MEASURE)
