// Where the keyboard is: what it is called, whether one can see that it is there. Called as a function.
() => {
  const here = document.activeElement;
  const style = getComputedStyle(here);
  const box = here.getBoundingClientRect();
  const name = here.getAttribute('aria-label') || here.labels?.[0]?.textContent || here.textContent || here.tagName;
  return {
    name: name.trim().replace(/\s+/g, ' '),
    visible: here === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2),
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}
